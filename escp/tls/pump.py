"""Carries a control channel between a TLS connection and two descriptors, both ways and without waiting."""

import os
import ssl

from escp.lean.eventloop import EventLoop
from escp.tls import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HIGH_BYTES = 256 << 10  # what waits for one direction; then its source has to
_PIECE = 1 << 16


class Pump:
    """*read_fd*'s bytes go out as CHANNEL frames, those that come in go to *write_fd*. It closes both.

    *take(kind, payload)* hears all other frames; *lose(why)* once that the connection is gone.
    """

    def __init__(
        self, loop: EventLoop, sock: ssl.SSLSocket, read_fd: int, write_fd: int,
        take: "Callable[[int, bytes], None]", lose: "Callable[[str], None]",
    ):  # fmt: skip
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._read_fd, self._write_fd = read_fd, write_fd
        self._take, self._lose = take, lose
        self._decoder = frames.Decoder()
        self._out = bytearray()  # frames that wait for the connection
        self._in = bytearray()  # what came, and waits for write_fd
        self._has_ended = False  # the other side's half
        self.is_lost = False
        self.n_heard = 0
        sock.setblocking(False)
        for fd in (read_fd, write_fd):
            os.set_blocking(fd, False)
        loop.watch(self._fd, self._hear)
        loop.watch(read_fd, self._read)

    def send(self, kind: int, payload: bytes = b"") -> None:
        if not self.is_lost:
            self._out += frames.encode(kind, payload)
            self._flush()

    @property
    def is_reading(self) -> bool:
        """Whether read_fd has not come to its end."""
        return self._read_fd >= 0

    @property
    def n_pending(self) -> int:
        """Bytes that the connection has not taken yet."""
        return len(self._out)

    # ---- Out ----------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            data = os.read(self._read_fd, frames.MAX_FRAME_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.send(frames.CHANNEL, data)
            if len(self._out) > HIGH_BYTES:
                self._loop.pause(self._read_fd)
            return
        self._loop.unwatch(self._read_fd)
        os.close(self._read_fd)
        self._read_fd = -1
        self.send(frames.END)

    def _flush(self) -> None:
        while self._out and not self.is_lost:
            try:
                n = self._sock.send(self._out[:_PIECE])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._loop.watch(self._fd, self._flush, for_writing=True)
                return
            except OSError as e:
                return self._give_up(e)
            del self._out[:n]
        self._loop.pause(self._fd, for_writing=True)
        if self._read_fd >= 0 and not self.is_lost:
            self._loop.watch(self._read_fd, self._read)

    # ---- In -----------------------------------------------------------------------------------------

    def _hear(self) -> None:
        """All that is there: what OpenSSL has decrypted already makes no descriptor readable."""
        while not self.is_lost and len(self._in) <= HIGH_BYTES:
            try:
                data = self._sock.recv(_PIECE)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as e:
                return self._give_up(e)
            if not data:
                return self._give_up(None)
            self.n_heard += len(data)
            for kind, payload in self._decoder.feed(data):
                self._take_frame(kind, payload)
        if not self.is_lost:
            self._loop.pause(self._fd)

    def _take_frame(self, kind: int, payload: bytes) -> None:
        if kind == frames.CHANNEL:
            if self._write_fd >= 0 and not self._has_ended:
                self._in += payload
                self._write()
        elif kind == frames.END:
            self._has_ended = True
            self._write()
        elif kind == frames.ASK:
            if len(self._out) <= HIGH_BYTES:  # who asks without end, and hears nothing, is not answered
                self.send(frames.ANSWER)
        elif kind != frames.ANSWER:
            self._take(kind, payload)

    def _write(self) -> None:
        while self._in:
            try:
                n = os.write(self._write_fd, self._in)
            except BlockingIOError:
                self._loop.watch(self._write_fd, self._write_more, for_writing=True)
                return
            except OSError:  # nobody reads it any more
                self._in.clear()
                self._close_output()
                break
            del self._in[:n]
        if self._write_fd >= 0:
            self._loop.pause(self._write_fd, for_writing=True)
        if self._has_ended:
            self._close_output()

    def _write_more(self) -> None:
        self._write()
        if len(self._in) <= HIGH_BYTES and not self.is_lost:
            self._loop.watch(self._fd, self._hear)
            self._hear()

    def _close_output(self) -> None:
        if self._write_fd >= 0:
            self._loop.unwatch(self._write_fd)
            os.close(self._write_fd)
            self._write_fd = -1

    # ---- The end ------------------------------------------------------------------------------------

    @property
    def is_drained(self) -> bool:
        """Whether all that came has gone on, and all that was to be said is said."""
        return not self._out and (not self._in or self._write_fd < 0)

    def _give_up(self, error: Exception | None) -> None:
        self.is_lost = True
        self._loop.unwatch(self._fd)
        self._out.clear()
        self._lose(explain(error) if error is not None else "the other side closed the connection")

    def close(self) -> None:
        """Both descriptors and the connection; may be called twice."""
        self._close_output()
        if self._read_fd >= 0:
            self._loop.unwatch(self._read_fd)
            os.close(self._read_fd)
            self._read_fd = -1
        self._loop.unwatch(self._fd)
        self.is_lost = True
        self._sock.close()


def explain(error: Exception, *, whose: str = "this user's") -> str:
    """Why TLS, or the network below it, ended, in a few words. *whose*: the certificate on this side."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        said = _ALERTS.get(reason, reason.lower().replace("_", " ") or "the connection was cut")
        return said.format(whose=whose)
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return (getattr(error, "strerror", None) or str(error)).lower()


# What the other side's OpenSSL says of the certificate that it was shown, in OpenSSL's words here.
_ALERTS = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that {whose} certificate has expired, or its own crl.pem",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it says that {whose} certificate was revoked",
    "TLSV1_ALERT_UNKNOWN_CA": "it says that another CA made {whose} certificate, or has no list of it",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it says that {whose} certificate has the wrong purpose",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it says that {whose} certificate is not valid, or not yet",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it asks for a certificate, and got none",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no TLS 1.3",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS 1.3",
    "WRONG_VERSION_NUMBER": "what answers there speaks no TLS",
    "UNEXPECTED_EOF_WHILE_READING": "it closed the connection in the middle of the login",
}
