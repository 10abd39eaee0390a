"""`escp --tls-login HOST PORT FOLDER`: what the initiator starts in ssh's place. Its stdin and stdout carry
the control channel, its stderr says why it fails. It ends with the agent's exit status.

It asks nobody anything, and needs no terminal.
"""

import os
import socket
import ssl

from escp.constants import SSH_ALIVE_COUNT, SSH_ALIVE_S, SSH_CONNECT_TIMEOUT_S
from escp.errors import EXIT_SSH, EscpError, ProtocolError, describe_errno
from escp.lean import signals
from escp.lean.eventloop import EventLoop
from escp.tls import frames
from escp.tls.context import make_context, read_own_certificate, read_peer_certificate
from escp.tls.keyfiles import Folder, TlsError, find_folder
from escp.tls.pump import Pump, explain

LOST = 255  # as ssh says it: the network, not this host's or the other one's decision
HANDSHAKE_S = 30.0
ANSWER_S = 60.0  # for the daemon to look up the account


def run_login(words: list[str]) -> int:
    """*words*: host, port, folder, how many seconds nothing may be heard, family. Returns the exit status."""
    host, port, path, silent, family = words
    signals.signal(signals.SIGPIPE, signals.SIG_IGN)
    try:
        sock = _log_in(host, int(port), find_folder(path or None, is_daemon=False), int(family))
        return _Carrier(sock, host, int(silent)).run()
    except EscpError as e:
        _say(str(e), e.hint)
        return LOST if e.is_retryable else e.exit_code if isinstance(e, _Refused) else EXIT_SSH


class _Refused(TlsError):
    """By the daemon, which says the exit code itself."""

    def __init__(self, exit_code: int, message: str, hint: str):
        super().__init__(message, hint)
        self.exit_code = exit_code


def _say(sentence: str, hint: str) -> None:
    """In the form that remote/child knows: two lines, whatever others said."""
    sentence, hint = (" ".join(text.split()) for text in (sentence, hint))
    text = f"escp: error: {sentence}\nescp: hint: {hint}\n"
    try:
        os.write(2, text.encode(errors="replace"))
    except OSError:
        return


def _log_in(host: str, port: int, folder: Folder, family: int) -> ssl.SSLSocket:
    """Connect, and check both certificates. Raises EscpError: one that is retryable may pass."""
    own = read_own_certificate(folder)
    own.check_time()
    own.check_purpose(is_client=True)
    context = make_context(folder, is_daemon=False)
    plain = _connect(host, port, family)
    plain.settimeout(HANDSHAKE_S)
    try:
        name = host.partition("%")[0].removesuffix(".")  # an interface is no name, nor what ends a whole one
        sock = context.wrap_socket(plain, server_hostname=name)
        read_peer_certificate(sock).check_purpose(is_client=False)
        return sock
    except ssl.SSLCertVerificationError as e:
        plain.close()
        raise TlsError(
            f"the certificate of {host} is refused: {_describe(e)}",
            "is it the right host, and its certificate made by the authority in ca.pem?",
        ) from e
    except OSError as e:  # ssl.SSLError is one
        plain.close()
        is_lost = not isinstance(e, ssl.SSLError) or isinstance(e, ssl.SSLEOFError)
        raise TlsError(f"no TLS with {host} port {port}: {explain(e)}", is_retryable=is_lost) from e


# X509_V_ERR_… of <openssl/x509_vfy.h>, in words that name what to do something about.
_REASONS = {
    10: "it has expired",
    9: "it is not yet valid",
    23: "it was revoked",
    3: "crl.pem has no list of its authority",
    12: "the list in crl.pem has expired",
    18: "it is signed by itself",
    19: "it was made by another CA",
    20: "it was made by another CA",
    21: "it was made by another CA",
    26: "it has the wrong purpose",
    62: "it is of another host",
    64: "it is of another host",
}


def _describe(error: ssl.SSLCertVerificationError) -> str:
    return _REASONS.get(error.verify_code, error.verify_message or "OpenSSL does not say why")


def _connect(host: str, port: int, family: int) -> socket.socket:
    """At the first of its addresses that answers."""
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        is_passing = isinstance(e, socket.gaierror) and e.errno == socket.EAI_AGAIN
        raise TlsError(f"{host} is not known: {getattr(e, 'strerror', e)}", "is its name right?",
                       is_retryable=is_passing) from e  # fmt: skip
    why = "it has no address"
    for kind, _, _, _, address in found:
        sock = socket.socket(kind, socket.SOCK_STREAM)
        sock.settimeout(SSH_CONNECT_TIMEOUT_S)
        try:
            sock.connect(address)
        except OSError as e:
            why = "no answer" if isinstance(e, TimeoutError) else describe_errno(e.errno or 0)
            sock.close()
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    raise TlsError(
        f"{host} can't be reached at port {port}: {why}", "does `escp --listen` run there?", is_retryable=True
    )


class _Carrier:
    """The connection, from the daemon's word that it takes it."""

    def __init__(self, sock: ssl.SSLSocket, host: str, silent_s: int):
        self._host = host
        self._n_asks = max(SSH_ALIVE_COUNT, silent_s // SSH_ALIVE_S + 1)
        self._loop = EventLoop()
        self._status: int | None = None
        self._error: EscpError | None = None
        self._is_accepted = False
        self._sock = sock
        self._pump: Pump | None = None

    def run(self) -> int:
        self._await_word()
        self._pump = Pump(self._loop, self._sock, os.dup(0), os.dup(1), self._take, self._lose)
        for fd in (0, 1):  # only the pump has them, so that it can close them
            os.dup2(2, fd)
        asked_s, n_asked, n_heard = self._loop.now(), 0, 0
        while self._status is None and self._error is None:
            self._loop.wait(asked_s + SSH_ALIVE_S - self._loop.now())
            if self._pump.n_heard != n_heard:
                n_heard, n_asked = self._pump.n_heard, 0
            if self._loop.now() - asked_s >= SSH_ALIVE_S:
                asked_s = self._loop.now()
                if n_asked == self._n_asks:
                    raise TlsError(f"nothing was heard from {self._host} for {n_asked * SSH_ALIVE_S} s",
                                   "check the network between the hosts", is_retryable=True)  # fmt: skip
                n_asked += 1
                self._pump.send(frames.ASK)
        while not self._pump.is_drained and not (self._pump.is_lost and self._status is None):
            self._loop.wait(1.0)
        self._pump.close()
        if self._error is not None:
            raise self._error
        return self._status or 0

    def _await_word(self) -> None:
        """The daemon's first frame, before anything of the control channel is sent or believed."""
        self._sock.settimeout(ANSWER_S)
        data = b""
        try:
            while len(data) < 4 or len(data) < 4 + int.from_bytes(data[1:4], "big"):
                piece = self._sock.recv(4 - len(data) if len(data) < 4 else int.from_bytes(data[1:4], "big"))
                if not piece:
                    raise ssl.SSLEOFError
                data += piece
                if len(data) >= 4 and int.from_bytes(data[1:4], "big") > frames.MAX_WORDS_BYTES:
                    raise ProtocolError(f"what answers at {self._host} is no escp")
        except OSError as e:
            is_lost = not isinstance(e, ssl.SSLError) or isinstance(e, ssl.SSLEOFError)
            raise TlsError(f"{self._host} refused the login: {explain(e)}", is_retryable=is_lost) from e
        kind, payload = data[0], data[4:]
        if kind == frames.REFUSED:
            raise _refusal(self._host, payload)
        if kind != frames.ACCEPTED:
            raise ProtocolError(f"what answers at {self._host} is no escp")

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == frames.WORDS:
            try:
                os.write(2, payload)
            except OSError:
                return  # nobody reads them
        elif kind == frames.EXIT and len(payload) == 1:
            self._status = payload[0]
        elif kind == frames.REFUSED:
            self._error = _refusal(self._host, payload)
        else:
            raise ProtocolError(f"{self._host} sent a frame of kind {kind} where there is none")

    def _lose(self, why: str) -> None:
        if self._status is None and self._error is None:
            self._error = TlsError(
                f"the TLS connection to {self._host} was lost: {why}", "", is_retryable=True
            )


def _refusal(host: str, payload: bytes) -> EscpError:
    code, sentence, hint = frames.decode_refusal(payload)
    return _Refused(code or EXIT_SSH, f"{host} refuses: {sentence}", hint)
