"""The engines that there are."""

from escp._fast.io.ring cimport io_engine


# The one of that name; KeyError when there is none.
cdef const io_engine *find_engine(str name) except NULL
