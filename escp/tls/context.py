"""What both sides ask of a TLS connection: 1.3, and a certificate by an authority of their own folder."""

import _ssl
import ssl

from escp.errors import EscpError, LocalFileError
from escp.tls import keyfiles
from escp.tls.authority import read_authorities, read_crl
from escp.tls.certificate import Certificate, read_certificate
from escp.tls.keyfiles import Folder, TlsError


def make_context(folder: Folder, *, is_daemon: bool) -> ssl.SSLContext:
    """Raises EscpError for a file that is missing, or that others may use or write."""
    keyfiles.read_secret(folder.find(keyfiles.KEY))  # its owner and mode; OpenSSL reads it itself
    for name in (keyfiles.CERTIFICATE, keyfiles.CA):
        keyfiles.read_public(folder.find(name))
    read_crl(folder.find(keyfiles.CRL), read_authorities(folder.find(keyfiles.CA)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_daemon else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    context.hostname_checks_common_name = False
    if is_daemon:
        context.num_tickets = 0  # a session that is taken up again would be checked by nobody
    else:
        context.check_hostname = True
    try:
        context.load_cert_chain(
            folder.find(keyfiles.CERTIFICATE), folder.find(keyfiles.KEY), password=_refuse_password
        )
        for name in (keyfiles.CA, keyfiles.CRL):
            context.load_verify_locations(folder.find(name))
    except EscpError:
        raise
    except (ssl.SSLError, OSError, ValueError) as e:
        raise LocalFileError(
            f"the certificate and key in '{folder.path}' can't be used: {_explain(e)}", TlsError.hint
        ) from e
    return context


def _explain(error: Exception) -> str:
    """OpenSSL's reasons are words for programmers, where it gives any. `cert.pem` has been read before."""
    reason = getattr(error, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return "they are not of one another"
    if isinstance(error, ssl.SSLError) and (not reason or "PEM" in reason):
        return "one of them holds no whole PEM block"
    return (reason or str(error)).lower().replace("_", " ")


def _refuse_password() -> str:
    raise LocalFileError(
        "a key with a passphrase can't be used", "openssl pkey -in key.pem writes one without"
    )


def read_own_certificate(folder: Folder) -> Certificate:
    """Raises EscpError."""
    path = folder.find(keyfiles.CERTIFICATE)
    return read_certificate(keyfiles.read_public(path), path=path)


def read_peer_certificate(sock: ssl.SSLSocket) -> Certificate:
    """Of a connection whose handshake is over. Raises TlsError."""
    chain = _read_chain(sock)
    if not chain:
        raise TlsError("the other side showed no certificate")
    return read_certificate(chain[0], above=chain[1:])


def _read_chain(sock: ssl.SSLSocket) -> list[bytes]:
    """What OpenSSL has believed, DER: the peer's certificate, and its authorities' up to one of ca.pem."""
    if hasattr(sock, "get_verified_chain"):
        return list(sock.get_verified_chain())
    inner = sock._sslobj  # type: ignore[attr-defined]  # before Python 3.13, which has the method
    found = inner.get_verified_chain()
    return [one.public_bytes(_ssl.ENCODING_DER) for one in found or ()]
