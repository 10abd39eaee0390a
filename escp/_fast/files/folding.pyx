"""Names without case and accents; see folding.pxd. Pure."""

from escp._fast.base.paths cimport DOT, SLASH

cdef enum:
    FIRST_LATIN = 0xC0
    LAST_LATIN = 0x17F

# U+00C0 to U+017F: the letter below the accent, small.
cdef const char *LATIN = (
    b"aaaaaaaceeeeiiiidnoooooxouuuuytsaaaaaaaceeeeiiiidnoooooxouuuuyty"
    b"aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllllnnnnnnn"
    b"nnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs")


cdef unsigned int fold_letter(unsigned int c) noexcept nogil:
    """For letters of two bytes in UTF-8. 0: an accent that stands behind its letter."""
    if FIRST_LATIN <= c <= LAST_LATIN:
        return <unsigned char>LATIN[c - FIRST_LATIN]
    if 0x300 <= c <= 0x36F:
        return 0
    if 0x391 <= c <= 0x3A9:  # Greek
        return c + 0x20
    if 0x400 <= c <= 0x40F:  # Cyrillic
        c += 0x50
    elif 0x410 <= c <= 0x42F:
        c += 0x20
    return 0x435 if c == 0x450 or c == 0x451 else 0x438 if c == 0x439 or c == 0x45D else c


cdef size_t fold_name(const char *name, size_t n, char *out) noexcept nogil:
    cdef size_t i = 0
    cdef size_t k = 0
    cdef size_t start = 0  # of the component
    cdef unsigned char c
    cdef unsigned int letter
    while i < n:
        c = <unsigned char>name[i]
        i += 1
        if c == SLASH:
            while k > start and (out[k - 1] == DOT or out[k - 1] == 32):  # dots and blanks at the end: FAT has none
                k -= 1
            start = k + 1
        if 65 <= c <= 90:
            c += 32
        elif 0xC3 <= c <= 0xDF and i < n and (<unsigned char>name[i] & 0xC0) == 0x80:
            letter = fold_letter((c & 0x1F) << 6 | (<unsigned char>name[i] & 0x3F))
            i += 1
            if letter > 0x7F:
                out[k] = <char>(0xC0 | letter >> 6)
                k += 1
                letter = 0x80 | (letter & 0x3F)
            if letter:
                out[k] = <char>letter
                k += 1
            continue
        out[k] = <char>c
        k += 1
    while k > start and (out[k - 1] == DOT or out[k - 1] == 32):
        k -= 1
    return k
