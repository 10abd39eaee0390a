"""What may not have to be sent: a walker queues a question about it, which a stream sends (questions.pxd); or, in a dry
run, lists it.

All of it is called by walkers' threads, without the state's lock. Names are given as in walk_files.pxd. *way*: the
walker's own, for wanted files.
"""

from escp._fast.base.libc cimport stat_t
from escp._fast.send.below cimport root_way
from escp._fast.send.questions cimport wanted_file
from escp._fast.send.send_state cimport dir_node, send_state


# A file: ask for it, list it in a dry run, or open it. Takes over a reference to *dir*. May wait for
# room, and sends wanted files meanwhile.
cdef void consider(send_state *s, root_way *way, int dirfd, const char *path, dir_node *dir,
                   const char *name) noexcept nogil
# A link or device: ask whether it is there, or, of a receiver that can't judge, whether something has its name. Takes
# over a reference to *dir*.
cdef void consider_node(send_state *s, root_way *way, int dirfd, const char *path, dir_node *dir, const char *name,
                        const stat_t *status) noexcept nogil
# In a dry run: list a directory; with a selection only if the receiver says that it is not there.
cdef void consider_directory(send_state *s, root_way *way, dir_node *dir) noexcept nogil
# Send a file that the receiver says it has not, or list it; with digests to compare, only if they differ.
# Takes over the reference to its directory.
cdef void take_wanted(send_state *s, root_way *way, const wanted_file *asked) noexcept nogil
