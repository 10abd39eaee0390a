"""Include and exclude rules; see filter.pxd.

`_fast/patterns` makes tokens of a pattern. Matching walks over the path once and keeps, for each number of tokens,
whether they match what has been read (the states of a nondeterministic automaton): nothing is ever tried twice.
"""

from libc.stdint cimport uint8_t

from escp._fast.base.libc cimport calloc, free, memcpy, memset
from escp._fast.base.paths cimport SLASH

cdef enum token_kind:  # as in _fast/patterns
    TOKEN_BYTE
    TOKEN_ANY  # ?
    TOKEN_CLASS
    TOKEN_STAR
    TOKEN_STARS  # **

cdef enum:
    CLASS_BYTES = 32


# ---- Rules ------------------------------------------------------------------------------------------

cdef filter_set *filters_compile(list rules) except NULL:
    cdef filter_set *filters = <filter_set *>calloc(1, sizeof(filter_set))
    if filters == NULL:
        raise MemoryError
    try:
        add_rules(filters, rules)
    except BaseException:
        filters_free(filters)
        raise
    return filters


cdef int add_rules(filter_set *filters, list rules) except -1:
    if not rules:
        return 0
    from escp._fast.patterns import parse_pattern  # lazy: most copies have no rules

    cdef const uint8_t *kinds
    cdef const uint8_t *values
    cdef rule *r
    cdef int n_classes = 0
    cdef int i
    parsed = []
    for is_include, pattern in rules:
        if not isinstance(pattern, bytes):
            raise TypeError("a pattern is bytes")
        parsed.append((is_include, parse_pattern(pattern)))
    cdef bytes classes = b"".join([one[6] for _, one in parsed])
    filters.rules = <rule *>calloc(len(parsed), sizeof(rule))
    filters.classes = <uint8_t *>calloc(len(classes) + 1, 1)
    if filters.rules == NULL or filters.classes == NULL:
        raise MemoryError
    memcpy(filters.classes, <const char *>classes, len(classes))
    for is_include, (is_anchored, is_directory, is_name, n_upper, its_kinds, its_values, _) in parsed:
        r = &filters.rules[filters.n]
        r.is_include, r.is_anchored, r.is_directory, r.is_name = is_include, is_anchored, is_directory, is_name
        r.n_upper, r.n = n_upper, len(its_kinds)
        r.tokens = <token *>calloc(r.n, sizeof(token))
        if r.tokens == NULL:
            raise MemoryError
        filters.n += 1
        r.is_literal = True
        kinds, values = its_kinds, its_values
        for i in range(r.n):
            r.tokens[i].kind, r.tokens[i].byte = kinds[i], values[i]
            if kinds[i] == TOKEN_CLASS:
                r.tokens[i].number = n_classes
                n_classes += 1
            r.is_literal = r.is_literal and kinds[i] == TOKEN_BYTE
    return 0


cdef void filters_free(filter_set *filters) noexcept nogil:
    cdef int i
    if filters == NULL:
        return
    if filters.rules != NULL:
        for i in range(filters.n):
            free(filters.rules[i].tokens)
    free(filters.rules)
    free(filters.classes)
    free(filters)


# ---- Tokens against paths ---------------------------------------------------------------------------

cdef bint match_literal(const rule *r, const char *path, size_t n) noexcept nogil:
    """The whole path where the rule is anchored, else its end, from a component on."""
    cdef size_t m = r.n
    cdef size_t i
    if m > n or (m < n and (r.is_anchored or path[n - m - 1] != SLASH)):
        return False
    path += n - m
    for i in range(m):
        if r.tokens[i].byte != <uint8_t>path[i]:
            return False
    return True


cdef bint match_tokens(const rule *r, const uint8_t *classes, const char *path, size_t n,
                       bint is_directory) noexcept nogil:
    cdef uint8_t states[MAX_PATTERN_BYTES + 1]  # whether the first j tokens match what has been read
    cdef const token *k
    cdef size_t i
    cdef int j
    cdef uint8_t c
    cdef uint8_t before  # the state left of this one, before this byte
    cdef uint8_t old
    cdef uint8_t value
    memset(states, 0, r.n + 1)
    states[0] = 1
    j = 0
    while j < r.n and r.tokens[j].kind >= TOKEN_STAR:  # these match nothing at all, too
        states[j + 1] = 1
        j += 1
    for i in range(n):
        c = <uint8_t>path[i]
        before = states[0]
        states[0] = c == SLASH and not r.is_anchored  # the next component may be where the pattern starts
        for j in range(r.n):
            k = &r.tokens[j]
            old = states[j + 1]
            if k.kind == TOKEN_BYTE:
                value = before and c == k.byte
            elif k.kind == TOKEN_STARS:
                value = states[j] or old
            elif k.kind == TOKEN_STAR:
                value = states[j] or (old and c != SLASH)
            elif k.kind == TOKEN_ANY:
                value = before and c != SLASH
            else:
                value = before and classes[k.number * CLASS_BYTES + (c >> 3)] >> (c & 7) & 1
            states[j + 1] = value
            before = old
    return states[r.n] or (r.n_upper and is_directory and states[r.n_upper])


cdef bint is_match(const filter_set *filters, const rule *r, const char *path, size_t n,
                   bint is_directory) noexcept nogil:
    cdef size_t start = n
    if r.is_directory and not is_directory:
        return False
    if r.is_name:
        while start and path[start - 1] != SLASH:
            start -= 1
        path += start
        n -= start
    return match_literal(r, path, n) if r.is_literal else match_tokens(r, filters.classes, path, n, is_directory)


cdef bint is_excluded(const filter_set *filters, const char *path, size_t n, bint is_directory) noexcept nogil:
    cdef int i
    for i in range(filters.n):
        if is_match(filters, &filters.rules[i], path, n, is_directory):
            return not filters.rules[i].is_include
    return False


def matches(bytes pattern not None, bytes path not None, bint is_dir=False):
    """Whether the pattern of a rule matches *path*, which is relative to the destination."""
    return excludes([(False, pattern)], path, is_dir)


def excludes(rules, bytes path not None, bint is_dir=False):
    """Whether the rules, (is_include, pattern) each, leave *path* out."""
    return find_excluded(rules, [(path, is_dir)])[0]


def find_excluded(rules, list paths not None):
    """For each of (path, is_dir) whether the rules leave it out."""
    cdef filter_set *filters = filters_compile(list(rules))
    cdef bytes path
    found = []
    for path, is_dir in paths:
        found.append(bool(is_excluded(filters, path, len(path), is_dir)))
    filters_free(filters)
    return found
