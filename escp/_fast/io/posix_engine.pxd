"""Files through the kernel: O_DIRECT by kernel AIO, everything else by pread and pwrite."""

from escp._fast.io.ring cimport io_engine

cdef io_engine posix_engine
