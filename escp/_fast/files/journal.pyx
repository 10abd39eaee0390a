"""The journal beside a part; see journal.pxd."""

from libc.stdint cimport int64_t, uint64_t

from escp._fast.base.libc cimport (escp_fetch_add, escp_load, escp_pread_all, free, ftruncate, malloc, memcmp, memset,
                                   pwrite)
from escp._fast.base.types cimport MAX_KEPT_BLOCKS
from escp._fast.crypto.digest cimport digest128, hash_bytes
from escp._fast.files.remains cimport copy_identity

cdef enum:
    N_READ = 1024  # records at a time
    REWRITES = 4  # of a block, on average, in copies that were cut off again and again
    MOST_KEPT_BYTES = 134217728  # of all files that are open: eight of the largest

cdef uint64_t kept_bytes = 0  # of this process; by escp_fetch_add


cdef extern from *:
    """
    #define ESCP_JOURNAL_MAGIC 0x657363706a726e31ULL
    """
    const uint64_t ESCP_JOURNAL_MAGIC  # "escpjrn1" in this host's order of bytes: another host's is none


# As they lie in the file.
ctypedef struct journal_header:
    uint64_t magic
    uint64_t seed  # of the records' sums: random
    part_source source
    uint64_t session  # copy_identity
    uint64_t pid
    uint64_t start
    uint64_t sum


ctypedef struct journal_record:
    uint64_t number
    digest128 digest
    uint64_t sum


cdef bint is_block_kept(const kept_blocks *kept, uint64_t number) noexcept nogil:
    return number < kept.n and not (kept.digests[number].high == ~<uint64_t>0
                                    and kept.digests[number].low == ~<uint64_t>0)


cdef void forget_block(kept_blocks *kept, uint64_t number) noexcept nogil:
    kept.digests[number].high = kept.digests[number].low = ~<uint64_t>0


cdef void give_back(kept_blocks *kept) noexcept nogil:
    escp_fetch_add(&kept_bytes, -(kept.n * sizeof(digest128)))  # modulo 2^64
    kept.n = 0


cdef bint kept_open(kept_blocks *kept, uint64_t size, uint64_t block) noexcept nogil:
    cdef uint64_t n = (size + block - 1) // block
    kept.n = n if n < MAX_KEPT_BLOCKS else <uint64_t>MAX_KEPT_BLOCKS
    n = kept.n * sizeof(digest128)
    if escp_fetch_add(&kept_bytes, n) + n <= MOST_KEPT_BYTES:
        kept.digests = <digest128 *>malloc(n)
    if kept.digests == NULL:
        give_back(kept)
        return False
    memset(kept.digests, 0xff, n)
    return True


cdef void kept_close(kept_blocks *kept) noexcept nogil:
    free(kept.digests)
    kept.digests = NULL
    give_back(kept)


cdef uint64_t sum_of(const void *what, size_t n, uint64_t seed) noexcept nogil:
    """Of all but the sum itself, which comes last."""
    return hash_bytes(what, n - sizeof(uint64_t), seed)


cdef bint put_header(journal *j, const part_source *source, const copy_identity *writer) noexcept nogil:
    cdef journal_header h
    memset(&h, 0, sizeof(h))
    h.magic, h.seed, h.source = ESCP_JOURNAL_MAGIC, j.seed, source[0]
    h.session, h.pid, h.start = writer.session, writer.pid, writer.start
    h.sum = sum_of(&h, sizeof(h), j.seed)
    return pwrite(j.fd, &h, sizeof(h), 0) == sizeof(h)


cdef bint journal_begin(journal *j, const part_source *source, const copy_identity *writer,
                        uint64_t seed) noexcept nogil:
    j.seed = seed
    j.at = sizeof(journal_header)
    return put_header(j, source, writer)


cdef bint get_header(const journal *j, journal_header *h) noexcept nogil:
    return (escp_pread_all(j.fd, h, sizeof(journal_header), 0) == sizeof(journal_header)
            and h.magic == ESCP_JOURNAL_MAGIC and h.sum == sum_of(h, sizeof(journal_header), h.seed))


cdef void journal_writer(const journal *j, copy_identity *writer) noexcept nogil:
    cdef journal_header h
    writer.session = writer.pid = writer.start = 0
    if get_header(j, &h):
        writer.session, writer.pid, writer.start = h.session, h.pid, h.start


cdef bint journal_is_of(const journal *j, const digest128 *job) noexcept nogil:
    cdef journal_header h
    return get_header(j, &h) and h.source.job.high == job.high and h.source.job.low == job.low


cdef const char *find_difference(const part_source *was, const part_source *now) noexcept nogil:
    if was.job.high != now.job.high or was.job.low != now.job.low:
        return "command"
    if (was.size != now.size or was.ino != now.ino or was.mtime_s != now.mtime_s or was.mtime_ns != now.mtime_ns
            or was.ctime_s != now.ctime_s or was.ctime_ns != now.ctime_ns):
        return "source"
    if was.block != now.block:
        return "block"
    return NULL


cdef void read_records(journal *j, kept_blocks *kept) noexcept nogil:
    """As far as they can be believed; j.at: behind the last of those."""
    cdef journal_record records[N_READ]
    cdef journal_record nothing
    cdef const journal_record *r
    cdef uint64_t left = (kept.n + 1024) * REWRITES  # somebody else may have written the file
    cdef uint64_t at = j.at
    cdef int64_t n = 1
    cdef int64_t i
    memset(&nothing, 0, sizeof(nothing))
    while n > 0 and left:
        n = escp_pread_all(j.fd, records, sizeof(records), at) // <int64_t>sizeof(journal_record)
        for i in range(n):
            r = &records[i]
            at += sizeof(journal_record)
            left -= left > 0
            if memcmp(r, &nothing, sizeof(nothing)) == 0:
                continue
            if r.sum != sum_of(r, sizeof(journal_record), j.seed):
                return
            if r.number < kept.n:
                kept.digests[r.number] = r.digest
            j.at = at


cdef const char *journal_read(journal *j, const part_source *source, const copy_identity *writer,
                              kept_blocks *kept) noexcept nogil:
    cdef journal_header h
    cdef const char *why
    if not get_header(j, &h):
        return "damaged"
    why = find_difference(&h.source, source)
    if why != NULL:
        return why
    if not kept_open(kept, source.size, source.block):
        return "memory"
    j.seed, j.at = h.seed, sizeof(journal_header)
    read_records(j, kept)
    if ftruncate(j.fd, j.at) < 0 or not put_header(j, source, writer):
        kept_close(kept)
        return "damaged"
    return NULL


cdef void journal_add(journal *j, uint64_t number, const digest128 *digest) noexcept nogil:
    cdef journal_record r
    r.number, r.digest = number, digest[0]
    r.sum = sum_of(&r, sizeof(r), j.seed)
    pwrite(j.fd, &r, sizeof(r), escp_fetch_add(&j.at, sizeof(r)))  # without it the block comes again, no more


cdef void journal_forget(journal *j) noexcept nogil:
    j.at = sizeof(journal_header)
    ftruncate(j.fd, j.at)


cdef bint journal_has_blocks(const journal *j) noexcept nogil:
    return escp_load(&j.at) > sizeof(journal_header)


def sum_bytes(bytes data not None, uint64_t seed):
    """What stands behind *data* in a journal. For tests, which plant wrong ones."""
    return hash_bytes(<const char *>data, len(data), seed)
