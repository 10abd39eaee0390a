"""The receiving plane, as the sender in the same process knows it."""

from escp._fast.io.block_sink cimport BlockSink
from escp._fast.planes.plane cimport Plane
from escp._fast.receive.receive_state cimport receive_state, receive_stream
from escp._fast.send.send_state cimport send_state


cdef class ReceivePlane(Plane):
    cdef receive_state *state
    cdef receive_stream *streams
    cdef BlockSink memory  # threads use it to their end
    cdef send_state *partner  # of a copy within this host: the sender, whose *threads* are these, too; else NULL

    cdef int attach(self, int fd) except -1
