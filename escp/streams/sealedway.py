"""A way for the control channel beside ssh's: one connection that has proven itself, in sealed frames."""

from escp._fast.crypto.channel import Channel
from escp._fast.errors import FastError
from escp.lean import sockets

IV_BYTES, TAG_BYTES = 8, 16
FRAME_BYTES = 1 << 16  # of messages
READ_BYTES = 1 << 18


class SealedWay:
    """Reads and writes bytes without waiting, as a pipe does. What was changed on its way ends it."""

    def __init__(self, sock: sockets.Socket, channel: Channel):
        self._sock = sock
        self._channel = channel
        self._sealed = bytearray()  # a frame that is being sent
        self._n_taken = 0  # bytes that it holds
        self._got = bytearray()  # and not opened yet
        self._is_over = False  # something came that was not sealed
        self.fd = sock.fileno()

    def read(self) -> bytes | None:
        """What has come; None: no whole frame yet; b"": it has ended."""
        if self._is_over:
            return b""
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if not data:
            return b""
        self._got += data
        opened = bytearray()
        try:
            while (frame := self._next_frame()) is not None:
                is_data, payload = self._channel.open(frame)
                if is_data:  # none of ours
                    self._is_over = True
                    break
                opened += payload
        except FastError:
            self._is_over = True
        return bytes(opened) or (b"" if self._is_over else None)

    def _next_frame(self) -> bytes | None:
        """The next whole one; raises FastError for one that can't be right."""
        if len(self._got) < IV_BYTES:
            return None
        _, n = self._channel.expect(bytes(self._got[:IV_BYTES]))
        size = IV_BYTES + n + TAG_BYTES
        if len(self._got) < size:
            return None
        frame = bytes(self._got[:size])
        del self._got[:size]
        return frame

    def write(self, data: bytes | bytearray) -> int:
        """How many bytes have been sent, once a frame of them has; until then *data* must begin as it does.

        Raises BlockingIOError while that is to be waited for, OSError when the way has ended.
        """
        if not self._sealed:
            taken = bytes(data[:FRAME_BYTES])
            self._n_taken = len(taken)
            self._sealed += self._channel.seal(False, taken)
        del self._sealed[: self._sock.send(self._sealed)]
        if self._sealed:
            raise BlockingIOError
        return self._n_taken

    def close(self) -> None:
        self._sock.close()
