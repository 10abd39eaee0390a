"""A sender's stream: takes work, reads, hashes, compresses, seals, sends. One native thread each."""

from escp._fast.send.send_stream cimport send_stream


# The body of the stream's thread; ends with an END frame when all is acknowledged, or when stopped.
cdef void send_loop(send_stream *t) noexcept nogil
