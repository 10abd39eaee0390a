"""The engines that there are; see engines.pxd. Another engine is a module beside this one, and a line here."""

from escp._fast.io.dummy_engine cimport dummy_engine
from escp._fast.io.posix_engine cimport posix_engine
from escp._fast.io.ring cimport io_engine
from escp._fast.io.shmem_engine cimport shmem_engine

ctypedef const io_engine *engine_pointer

cdef engine_pointer[3] TABLE = [
    &posix_engine,
    &dummy_engine,
    &shmem_engine,
]


def engine_names():
    """As options/values.py has them."""
    return [engine.name.decode() for engine in TABLE]


cdef const io_engine *find_engine(str name) except NULL:
    for engine in TABLE:
        if engine.name == name.encode():
            return engine
    raise KeyError(name)
