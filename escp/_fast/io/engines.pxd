"""The engines that there are."""

from escp._fast.io.ring cimport io_engine


# The engine of that name. KeyError: there is none.
cdef const io_engine *find_engine(str name) except NULL
