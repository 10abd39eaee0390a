"""Names as file systems may see them that tell no case from another, or no way from another to write an accent.

An approximation that may take two names for one, and nothing is decided by it alone: see given.pxd.
"""


# *n* bytes of a name or path, folded into *out*, which has room for as many; returns how many there are.
cdef size_t fold_name(const char *name, size_t n, char *out) noexcept nogil
