"""Native threads of a plane; see threads.pxd."""

import os

from escp._fast.base.libc cimport escp_thread_start, pthread_join


cdef class Threads:
    cdef int add(self, void *(*run)(void *) noexcept nogil, void *arg, const char *name) except -1:
        cdef int rc = escp_thread_start(&self.handles[self.n], run, arg, name)
        if rc:
            raise OSError(rc, f"can't start a thread: {os.strerror(rc)}")
        self.n += 1
        return 0

    cdef void join(self) noexcept nogil:
        while self.n:
            self.n -= 1
            pthread_join(self.handles[self.n], NULL)
