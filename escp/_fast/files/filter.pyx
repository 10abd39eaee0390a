"""Include and exclude rules; see filter.pxd.

A pattern becomes tokens. Matching walks over the path once and keeps, for each number of tokens, whether they
match what has been read (the states of a nondeterministic automaton): nothing is ever tried twice.
"""

from libc.stdint cimport uint8_t

from escp._fast.base.libc cimport calloc, free, memset
from escp._fast.base.paths cimport SLASH

cdef enum token_kind:
    TOKEN_BYTE
    TOKEN_ANY  # ?
    TOKEN_CLASS
    TOKEN_STAR
    TOKEN_STARS  # **

cdef enum:
    CLASS_BYTES = 32

# POSIX classes of the C locale, as rsync knows them.
NAMED_CLASSES = {
    name: frozenset(c for c in range(128) if test(bytes([c])))
    for name, test in {
        b"alnum": bytes.isalnum, b"alpha": bytes.isalpha, b"digit": bytes.isdigit, b"lower": bytes.islower,
        b"upper": bytes.isupper, b"space": bytes.isspace, b"blank": lambda c: c in b" \t",
        b"cntrl": lambda c: c < b" " or c == b"\x7f", b"graph": lambda c: b" " < c < b"\x7f",
        b"print": lambda c: b" " <= c < b"\x7f",
        b"punct": lambda c: b" " < c < b"\x7f" and not c.isalnum(),
        b"xdigit": lambda c: c in b"0123456789abcdefABCDEF",
    }.items()
}


# ---- Patterns to tokens: Python's side --------------------------------------------------------------

def parse_class(bytes pattern, int i):
    """(set of bytes, offset behind it) of the class whose first byte, after '[', is at *i*."""
    found = set()
    start = i
    is_negated = pattern[i : i + 1] in (b"!", b"^")
    if is_negated:
        i += 1
        start = i
    while True:
        if i >= len(pattern):
            raise ValueError(f"a '[' without its ']' in the pattern {pattern!r}")
        if pattern[i : i + 1] == b"]" and i > start:
            break
        if pattern[i : i + 2] == b"[:" and (end := pattern.find(b":]", i)) > 0:
            name = pattern[i + 2 : end]
            if name not in NAMED_CLASSES:
                raise ValueError(f"no class [:{name.decode(errors='replace')}:] in the pattern {pattern!r}")
            found |= NAMED_CLASSES[name]
            i = end + 2
            continue
        first, i = parse_member(pattern, i)
        last = first
        if pattern[i : i + 1] == b"-" and pattern[i + 1 : i + 2] not in (b"]", b""):
            last, i = parse_member(pattern, i + 1)
        found.update(range(first, last + 1))
    if is_negated:
        found = set(range(256)) - found
    return found - {SLASH}, i + 1


def parse_member(bytes pattern, int i):
    """(byte, offset behind it) of one member of a class."""
    if pattern[i] == 92:  # backslash
        i += 1
    if i >= len(pattern):
        raise ValueError(f"a '[' without its ']' in the pattern {pattern!r}")
    return pattern[i], i + 1


def parse_tokens(bytes pattern):
    """(kind, byte or set of bytes) of each token of a pattern without its anchor and its trailing slash."""
    if not any(c in b"*?[" for c in pattern):
        return [(TOKEN_BYTE, c) for c in pattern]
    tokens = []
    i = 0
    while i < len(pattern):
        c = pattern[i]
        i += 1
        if c == 42:  # '*'
            n = 1
            while pattern[i : i + 1] == b"*":
                i += 1
                n += 1
            tokens.append((TOKEN_STAR if n == 1 else TOKEN_STARS, 0))
        elif c == 63:  # '?'
            tokens.append((TOKEN_ANY, 0))
        elif c == 91:  # '['
            members, i = parse_class(pattern, i)
            tokens.append((TOKEN_CLASS, members))
        else:
            if c == 92 and i < len(pattern):  # backslash
                c = pattern[i]
                i += 1
            tokens.append((TOKEN_BYTE, c))
    return tokens


def parse_pattern(bytes pattern):
    """(is_anchored, is_directory, is_name, n_upper, tokens) of a pattern; ValueError says what is wrong with it."""
    if not pattern or b"\0" in pattern or len(pattern) > MAX_PATTERN_BYTES:
        raise ValueError(f"a pattern has 1 to {MAX_PATTERN_BYTES} bytes and no NUL")
    body = pattern
    is_directory = len(body) > 1 and body.endswith(b"/")
    if is_directory:
        body = body[: len(body) - 1]
    is_anchored = body.startswith(b"/")
    is_name = b"/" not in body and b"**" not in body
    if is_anchored:
        body = body[1:]
    elif body.startswith(b"**/") and body[3:]:
        body = body[3:]  # from any component on: what an unanchored pattern does anyway, and the top is one
    if not body:
        raise ValueError(f"the pattern {pattern!r} names nothing")
    n_upper = 0
    if body.endswith(b"/***") and len(body) > 4:
        upper = body[: len(body) - 4]
        n_upper = len(parse_tokens(upper + b"/**")) - 2  # with the wildcards: they make backslashes escape
    return is_anchored, is_directory, is_name, n_upper, parse_tokens(body)


cdef filter_set *filters_compile(list rules) except NULL:
    cdef filter_set *filters
    cdef rule *r
    cdef int n_classes = 0
    parsed = []
    for is_include, pattern in rules:
        if not isinstance(pattern, bytes):
            raise TypeError("a pattern is bytes")
        parsed.append((bool(is_include), *parse_pattern(pattern)))
    total = sum(1 for one in parsed for kind, _ in one[5] if kind == TOKEN_CLASS)
    filters = <filter_set *>calloc(1, sizeof(filter_set))
    if filters == NULL:
        raise MemoryError
    filters.rules = <rule *>calloc(len(parsed) + 1, sizeof(rule))
    filters.classes = <uint8_t *>calloc(total + 1, CLASS_BYTES)
    if filters.rules == NULL or filters.classes == NULL:
        filters_free(filters)
        raise MemoryError
    for is_include, is_anchored, is_directory, is_name, n_upper, tokens in parsed:
        r = &filters.rules[filters.n]
        r.tokens = <token *>calloc(len(tokens), sizeof(token))
        if r.tokens == NULL:
            filters_free(filters)
            raise MemoryError
        filters.n += 1
        r.is_include, r.is_anchored, r.is_directory, r.is_name = is_include, is_anchored, is_directory, is_name
        r.n_upper, r.n = n_upper, len(tokens)
        r.is_literal = all(kind == TOKEN_BYTE for kind, _ in tokens)
        for i, (kind, value) in enumerate(tokens):
            r.tokens[<int>i].kind = kind
            if kind == TOKEN_CLASS:
                r.tokens[<int>i].number = n_classes
                for c in value:
                    filters.classes[n_classes * CLASS_BYTES + (<int>c >> 3)] |= <uint8_t>(1 << (<int>c & 7))
                n_classes += 1
            else:
                r.tokens[<int>i].byte = value
    return filters


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
