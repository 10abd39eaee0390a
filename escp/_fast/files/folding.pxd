"""Names without case and accents, as file systems may compare them that don't tell `A` from `a`.

An approximation. It may take two names for one, so nothing is decided by it alone: see given.pxd.
"""


# *n* bytes of a name or path, folded into *out*, which has room for as many; returns how many there are.
cdef size_t fold_name(const char *name, size_t n, char *out) noexcept nogil
