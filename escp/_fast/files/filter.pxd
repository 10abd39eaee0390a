"""Which names are left out of a copy: rules like rsync's simple ones, compiled once, matched without the GIL. Pure.

A rule includes or excludes what its pattern matches; the first rule that matches decides, and without one a name
is taken. Paths are relative to the destination: 'dir/file', never with a slash at either end.

    /a/b    from the start of the path       a/b     the end of the path, from a component on
    a       the last component               a/      directories only
    *  ?    within a component               **      across components
    [a-c]   one of them, [!a] or [^a] none   dir/*** the directory and all that is in it

A backslash takes away a wildcard's meaning; in a pattern without wildcards it is a backslash (rsync has it so).
Matching takes time proportional to pattern times path at worst, whatever the pattern.
"""

from libc.stdint cimport uint8_t

cdef enum:
    MAX_PATTERN_BYTES = 4096


ctypedef struct token:
    uint8_t kind
    uint8_t byte
    int number  # of a class, counted over all rules


ctypedef struct rule:
    bint is_include
    bint is_anchored
    bint is_directory  # matches directories only
    bint is_name  # looks at the last component only
    bint is_literal
    int n_upper  # of dir/***: the tokens of 'dir', which match directories by themselves; else 0
    int n
    token *tokens


ctypedef struct filter_set:
    int n
    rule *rules
    uint8_t *classes  # 32 bytes each: a bit for each byte that it matches


# *rules*: (is_include, pattern bytes) each. ValueError for a pattern that can't be one.
cdef filter_set *filters_compile(list rules) except NULL
cdef void filters_free(filter_set *filters) noexcept nogil
# *path* of n bytes below the destination.
cdef bint is_excluded(const filter_set *filters, const char *path, size_t n, bint is_directory) noexcept nogil
