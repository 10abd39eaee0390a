"""Files that have arrived, as the next run is to know them again without reading them.

    key   of a source: its path below the target, inode, size, modification and change time
    stamp   of a file at the target: its inode, size and modification time when it got its name

The sender's side keeps both, in a record of 16 bytes for each file: it asks about files whose key it knows, and the
receiver says whether the file there still has that stamp. A damaged record is one of a file that nobody has.
"""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport stat_t, timespec_t

cdef enum:
    STAMP_RECORD_BYTES = 16
    MAX_KNOWN = 4194304  # of the files behind them nothing is known: they come again
    N_LOGGED = 65536  # records that wait to be fetched; beyond that they are dropped


ctypedef struct stamp_record:
    uint64_t key
    uint64_t stamp  # 0: a free place


ctypedef struct stamp_book:
    bint is_on
    uint64_t seed  # of the keys: another command's are other ones
    stamp_record *known  # NULL: none is
    uint64_t n_places  # a power of two
    stamp_record *log
    uint64_t n_logged  # set under the sender's lock, read without it


cdef uint64_t stamp_of(const stat_t *status) noexcept nogil  # never 0
cdef uint64_t find_key(const stamp_book *b, const char *directory, size_t n_directory, const char *name, size_t n_name,
                       uint64_t ino, uint64_t size, uint64_t mtime_ns, uint64_t ctime_ns) noexcept nogil
cdef uint64_t to_ns(const timespec_t *t) noexcept nogil  # modulo 2^64
# *records*: of earlier runs, *n* of them; later ones count. False: there is no memory.
cdef bint book_open(stamp_book *b, uint64_t seed, const uint8_t *records, uint64_t n) noexcept nogil
cdef void book_close(stamp_book *b) noexcept nogil
cdef uint64_t book_find(const stamp_book *b, uint64_t key) noexcept nogil  # its stamp; 0: that file is not known
cdef void book_add(stamp_book *b, uint64_t key, uint64_t stamp) noexcept nogil
