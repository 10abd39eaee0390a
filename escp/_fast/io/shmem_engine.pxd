"""Files that are another program's memory: segments as docs/shmem.md has them.

A source's blocks are read where the program has put them; what arrives is copied there, block by block, once its tag
was right. A hostile program spoils its own file: another content than was hashed is refused by its receiver, words that
make no sense are waited for until the copy is stopped, and memory that is taken away reads as zeroes (shared.h).

Of each of the program's blocks the bytes are counted, in memory of this process, until they are all taken (or there):
streams' blocks and the program's need not be of one size.
"""

from escp._fast.io.ring cimport io_engine

cdef io_engine shmem_engine
