"""Logins by TLS: real daemons, real certificates, whole copies."""

import os
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from escp.constants import MARKER
from escp.tls import authority
from tests.support.command import needs_root, needs_source
from tests.support.folders import new_folder
from tests.support.tlshost import (
    ACCOUNT,
    FUTURE,
    PAST,
    USER,
    TlsHost,
    of,
    s_client,
    talk,
    write_odd_certificate,
)
from tests.support.trees import list_tree, make_tree

pytestmark = needs_source


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the account may enter."""
    with new_folder("escp-tls-", mode=0o755) as path:
        yield path


@pytest.fixture
def host(place) -> Iterator[TlsHost]:
    with TlsHost(place) as host:
        yield host.start()


@pytest.fixture
def alice(host) -> Path:
    return host.user()


@pytest.fixture
def there(place) -> Path:
    """A directory at the host that the account may write to."""
    path = place / "there"
    path.mkdir()
    os.chown(path, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
    return path


@pytest.fixture
def run(escp):
    """A copy by TLS: no words of ssh's among its options."""

    def run(user: Path, *words: object, code: int = 0, **how: object):
        start = {"login": (), **how}
        words = ["--tls-dir", str(user), "-r", *words]
        return escp.copy(*words, **start) if code == 0 else escp.fail(code, *words, **start)

    return run


# ---- Copies ---------------------------------------------------------------------------------------------


def test_push_and_pull(host, alice, run, source, folder, there):
    make_tree(source)
    (source / "large").write_bytes(os.urandom(3_000_000))
    run(alice, "-rp", source, host.place(there))
    assert list_tree(there / "source") == list_tree(source)
    run(alice, "-rp", host.place(there / "source", "localhost"), folder / "back")
    assert list_tree(folder / "back") == list_tree(source)
    log = host.wait_for("login", 5)
    assert 'names=["escp:alice"] serial="' in log
    assert f'account="{ACCOUNT.pw_name}" exit_code=0' in log


def test_files_are_the_accounts(host, alice, run, source, there):
    (source / "file").write_text("x")
    run(alice, source / "file", host.place(there))
    found = (there / "file").stat()
    assert (found.st_uid, found.st_gid) == (ACCOUNT.pw_uid, ACCOUNT.pw_gid)


def test_through_the_login_itself(host, alice, run, source, there):
    (source / "file").write_bytes(os.urandom(5_000_000))
    run(alice, "--tunnel=always", source / "file", host.place(there))
    assert (there / "file").read_bytes() == (source / "file").read_bytes()
    run(alice, "--tunnel=always", host.place(there / "file"), source / "back")
    assert (source / "back").read_bytes() == (source / "file").read_bytes()


@pytest.mark.parametrize("option", ["-3", "-R"])
def test_between_a_host_of_ssh_and_one_of_tls(host, alice, escp, source, there, option):
    (source / "file").write_bytes(os.urandom(2_000_000))
    escp.copy("--tls-dir", alice, option, f"box:{source / 'file'}", host.place(there))
    assert (there / "file").read_bytes() == (source / "file").read_bytes()
    escp.copy("--tls-dir", alice, option, host.place(there / "file"), f"box:{source / 'back'}")
    assert (source / "back").read_bytes() == (source / "file").read_bytes()


def test_between_two_hosts_of_tls(host, alice, run, source, there):
    (source / "file").write_bytes(os.urandom(2_000_000))
    os.chmod(source.parent, 0o755)
    run(alice, "-3", source / "file", host.place(there))
    run(alice, "-3", host.place(there / "file"), host.place(there / "again", "localhost"))
    assert (there / "again").read_bytes() == (source / "file").read_bytes()


def test_data_goes_where_the_login_went_and_nowhere_else(host, alice, run, source, there):
    (source / "file").write_bytes(os.urandom(100_000))
    done = run(alice, "-v", source / "file", host.place(there, "localhost"))
    assert " streams to localhost 127.0.0.1:" in done.err


def test_from_python(host, alice, source, there, folder):
    import escp

    (source / "file").write_text("x")
    os.environ["ESCP_CONFIG"] = ""
    with escp.connect(f"tls://127.0.0.1:{host.port}", tls_dir=str(alice)) as remote:
        remote.put(source / "file", str(there))
        remote.get(str(there / "file"), folder / "back")
    assert (folder / "back").read_text() == "x"


# ---- What is refused ------------------------------------------------------------------------------------


def test_expired(host, run, source, there):
    user = host.user("late", not_before=PAST, days=90)
    done = run(user, source, host.place(there), code=10)
    assert "expired" in done.error
    assert "certificate expired" in s_client(host, *of(user)).lower()
    assert "certificate has expired" in host.wait_for("certificate has expired")


def test_not_yet_valid(host, run, source, there):
    user = host.user("early", not_before=FUTURE)
    done = run(user, source, host.place(there), code=10)
    assert "not yet valid" in done.error
    assert "bad certificate" in s_client(host, *of(user)).lower()
    assert "certificate is not yet valid" in host.wait_for("not yet valid")


def test_other_ca(host, alice, run, source, there, place):
    authority.make_ca(str(place / "other"))
    user = host.user("stranger", ca=place / "other")
    assert "another CA" in run(user, source, host.place(there), code=10).error  # the host's, for this user
    for name in ("ca.pem", "crl.pem"):
        (user / name).write_bytes((alice / name).read_bytes())
    done = run(user, source, host.place(there), code=10)
    assert "another CA made this user's certificate" in done.error


def test_revoked(host, alice, run, source, there):
    authority.revoke(str(host.ca), [str(alice)])
    (host.files / "crl.pem").write_bytes((host.ca / "crl.pem").read_bytes())
    host.reload()
    done = run(alice, source, host.place(there), code=10)
    assert "revoked" in done.error
    assert "certificate revoked" in s_client(host, *of(alice)).lower()


def test_revoked_host(host, alice, run, source, there):
    authority.revoke(str(host.ca), [str(host.files)])
    (alice / "crl.pem").write_bytes((host.ca / "crl.pem").read_bytes())
    assert "it was revoked" in run(alice, source, host.place(there), code=10).error


def test_wrong_purpose(host, alice, run, source, there, place):
    user = host.user("box", "DNS:localhost")
    assert "wrong purpose" in run(user, source, host.place(there), code=10).error
    assert "unsupported certificate" in s_client(host, *of(user)).lower()


def test_user_who_plays_the_host(host, alice, run, source, there):
    for name in ("cert.pem", "key.pem"):
        (host.files / name).write_bytes((alice / name).read_bytes())
    host.reload()
    assert "purpose" in run(alice, source, host.place(there), code=10).error


def test_certificate_without_a_purpose(host, run, source, there, place):
    user = write_odd_certificate(host, place / "odd", ["escp:alice"], [])
    assert "wrong purpose" in run(user, source, host.place(there), code=10).error
    assert "wrong purpose" in s_client(host, *of(user))
    host.wait_for("wrong purpose")


CLIENT = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)


@pytest.mark.parametrize(
    ("names", "more", "reason"),
    [
        (["escp:alice", "escp-rule:fly"], [], "does not know"),
        (["escp:alice", "escp-rule:max-bytes=many"], [], "max-bytes"),
        (["escp:alice", "escp-rule:max-bytes"], [], "does not know"),
        (["escp:alice", "escp-rule:read-only=no"], [], "does not know"),
        (["escp:alice"], [(x509.BasicConstraints(True, None), True)], "wrong purpose"),
        (["escp:alice"], [(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.9.9"), b"x"), True)], ""),
    ],
)
def test_certificate_with_what_is_not_known(host, place, names, more, reason):
    user = write_odd_certificate(host, place / "odd", names, [CLIENT, *more])
    said = s_client(host, *of(user))
    assert MARKER.decode() not in said
    assert reason in said or reason in host.wait_for("refused"), said


def test_wrong_host(host, alice, run, source, there, place):
    for name in ("cert.pem", "key.pem"):
        (host.files / name).unlink()
    authority.make_certificate(str(host.ca), str(host.files), ["DNS:dtn9.example.org"])
    host.reload()
    assert "another host" in run(alice, source, host.place(there), code=10).error
    assert "another host" in run(alice, source, host.place(there, "localhost"), code=10).error
    log = host.wait_for("certificate is not valid")  # whose: that user's is
    assert "this host's certificate" in log and "this user's" not in log


def test_no_certificate(host, alice):
    said = s_client(host, "-CAfile", alice / "ca.pem")
    assert "certificate required" in said.lower()
    assert MARKER.decode() not in said
    assert "peer did not return a certificate" in host.wait_for("refused")


@pytest.mark.parametrize("version", ["-tls1_2", "-no_tls1_3"])
def test_tls_1_2(host, alice, version):
    said = s_client(host, version, *of(alice)).lower()
    assert "protocol version" in said and "verify return code" not in said.partition("cipher is (none)")[0]
    assert "speaks no TLS 1.3" in host.wait_for("refused")


def test_good_certificate_gets_the_marker_and_nothing_before_it_is_an_agents(host, alice):
    said = talk(host, *of(alice), "-tls1_3", "-quiet", until=MARKER)
    assert "\x01\0\0\0\x03" in said.partition(MARKER.decode())[0]  # ACCEPTED, then CHANNEL, of any length
    assert MARKER.decode() in said


def test_no_session_is_taken_up_again(host, alice, place):
    said = talk(host, *of(alice), "-sess_out", place / "session", "-msg", until=MARKER)
    assert MARKER.decode() in said
    assert "NewSessionTicket" not in said and not (place / "session").exists()


def test_unknown_user(host, run, source, there):
    user = host.user("bob", "URI:escp:bob")
    done = run(user, source, host.place(there), code=10)
    assert "no account for the certificate of CN=escp:bob" in done.error


def test_names_of_several_accounts(host, run, source, there):
    user = host.user("both", USER, "URI:escp:bob")
    host.map(f"{USER} {ACCOUNT.pw_name}", "URI:escp:bob daemon")
    host.reload()
    assert "several accounts" in run(user, source, host.place(there), code=10).error


def test_nobody_there(alice, host, run, source):
    host.stop()
    done = run(alice, source, host.place("x"), code=10)
    assert "can't be reached" in done.error and "connection refused" in done.error


def test_user_in_the_address(alice, host, run, source):
    assert "the certificate says" in run(alice, source, f"tls://bob@127.0.0.1:{host.port}/x", code=2).hint


# ---- Files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_key_that_others_may_use(host, alice, run, source, there, mode):
    (alice / "key.pem").chmod(mode)
    assert "others may use" in run(alice, source, host.place(there), code=10).error


def test_folder_that_others_may_write_to(host, alice, run, source, there):
    alice.chmod(0o777)
    assert "others may write to" in run(alice, source, host.place(there), code=10).error


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem", "crl.pem"])
def test_file_that_is_missing(host, alice, run, source, there, name):
    (alice / name).unlink()
    assert name in run(alice, source, host.place(there), code=10).error


@pytest.mark.parametrize("name", ["key.pem", "cert.pem", "ca.pem", "crl.pem", "users"])
@pytest.mark.parametrize("fault", ["others may write", "missing", "garbage"])
def test_daemon_does_not_begin_with_files_that_are_not_right(place, name, fault):
    host = TlsHost(place)
    path = host.files / name
    if fault == "others may write":
        path.chmod(path.stat().st_mode | stat.S_IWOTH)
    elif fault == "missing":
        path.unlink()
    else:
        path.write_text("-\n" if name != "users" else "nobody-knows\n")
    with pytest.raises(AssertionError):
        host.start().wait_for("listening", 10)
    assert host.process.wait(10) in (2, 10, 14)
    assert "escp: error: " in host.log and "Traceback" not in host.log
    host.stop()


@needs_root
def test_key_of_another_user(host, alice, run, source, there):
    os.chown(alice / "key.pem", 12345, 12345)
    assert "belongs to another user" in run(alice, source, host.place(there), code=10).error


def test_broken_files_let_nobody_in_and_end_nobody(host, alice, run, source, there):
    (source / "file").write_text("x")
    host.map("what is this")
    host.reload("broken")
    assert "can't read its own files" in run(alice, source / "file", host.place(there), code=10).error
    host.map(f"{USER} {ACCOUNT.pw_name}")
    host.reload()
    run(alice, source / "file", host.place(there))


# ---- Accounts -------------------------------------------------------------------------------------------


@pytest.fixture
def slow(host, alice, escp, source, there):
    """A copy that is under way."""
    (source / "large").write_bytes(os.urandom(20_000_000))
    process = escp.start("--tls-dir", alice, "-l", "1M", source / "large", host.place(there), login=())
    end_s = time.monotonic() + 20
    while not [name for name in os.listdir(there) if name.startswith(".")] and not _find_agents(host):
        assert time.monotonic() < end_s and process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(1.5)  # into the data
    return process


def _find_agents(host: TlsHost) -> list[int]:
    found = []
    for session in host.list_children():
        children = Path(f"/proc/{session}/task/{session}/children")
        found += [int(pid) for pid in children.read_text().split()]
    return found


def _read_status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@needs_root
def test_session_and_agent_are_the_account_for_good(host, slow, escp):
    uid, gid = str(ACCOUNT.pw_uid), str(ACCOUNT.pw_gid)
    (session,) = host.list_children()
    (agent,) = _find_agents(host)
    for pid in (session, agent):
        status = _read_status(pid)
        assert status["Uid"].split() == [uid] * 4 and status["Gid"].split() == [gid] * 4
        assert set(status["Groups"].split()) == set(map(str, os.getgrouplist(ACCOUNT.pw_name, int(gid))))
        assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    # The host's key was in the session's memory: the account must not look into it.
    assert os.stat(f"/proc/{session}/mem").st_uid == 0
    env = Path(f"/proc/{agent}/environ").read_bytes()
    names = {one.partition(b"=")[0].decode() for one in env.split(b"\0") if one}
    assert names <= {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "SSH_CONNECTION", "PYTHONPATH"}
    for pid in (session, agent):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            assert not os.readlink(f"/proc/{pid}/fd/{fd}").startswith(str(host.files))
    slow.kill()
    escp.finish(slow)


@needs_root
def test_root_and_accounts_that_are_not_there(host, alice, run, source, there):
    host.map(f"{USER} root")
    host.reload()
    assert "nobody in as root" in run(alice, source, host.place(there), code=10).error
    host.map(f"{USER} nobody-of-that-name")
    host.reload()
    assert "no account 'nobody-of-that-name'" in run(alice, source, host.place(there), code=10).error


@needs_root
def test_what_the_account_may_not_read_is_not_read(host, alice, run, place, folder):
    (place / "secret").write_text("x")
    (place / "secret").chmod(0o600)
    done = run(alice, host.place(place / "secret"), folder / "got", code=1)
    assert "permission denied" in done.err and not (folder / "got").exists()


@needs_root
def test_daemon_without_root_serves_its_own_user_only(place, run, source, there):
    with TlsHost(place) as host:
        host.map(f"{USER} {ACCOUNT.pw_name}", "URI:escp:bob daemon")
        for path in (host.files, *host.files.iterdir()):
            os.chown(path, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
        host.start(as_user=ACCOUNT.pw_uid)
        (source / "file").write_text("x")
        run(host.user(), source / "file", host.place(there))
        assert (there / "file").read_text() == "x"
        bob = host.user("bob", "URI:escp:bob")
        assert "one user only" in run(bob, source / "file", host.place(there), code=10).error


# ---- What ends sessions ---------------------------------------------------------------------------------


def _assert_ended(host, slow, escp, words: str) -> None:
    done = escp.finish(slow, 30)
    assert done.code == 16, done
    assert words in done.error
    host.wait_for(words)
    end_s = time.monotonic() + 10
    while host.list_children():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_revoked_while_it_runs(host, alice, slow, escp, there):
    began_s = time.monotonic()
    authority.revoke(str(host.ca), [str(alice)])
    (host.files / "crl.pem").write_bytes((host.ca / "crl.pem").read_bytes())
    _assert_ended(host, slow, escp, "was revoked")
    assert time.monotonic() - began_s < 15
    assert not (there / "large").exists()


@pytest.mark.parametrize("line", ["", f"{USER} daemon", f"{USER} {ACCOUNT.pw_name} --max-bytes 1G"])
def test_map_is_changed_while_it_runs(host, slow, escp, line):
    host.map(line)
    _assert_ended(host, slow, escp, "certificate")


def test_another_certificate_is_taken_back_and_this_one_goes_on(host, slow, escp):
    bob = host.user("bob", "URI:escp:bob")
    authority.revoke(str(host.ca), [str(bob)])
    (host.files / "crl.pem").write_bytes((host.ca / "crl.pem").read_bytes())
    host.reload()
    time.sleep(1)
    assert slow.poll() is None and host.list_children()
    slow.kill()
    escp.finish(slow)


def test_the_end_of_the_daemon_ends_its_sessions(host, slow, escp):
    host.process.terminate()
    done = escp.finish(slow, 30)
    assert done.code == 16 and "has been ended" in done.error
    assert done.error.count("127.0.0.1") == 1  # the host is named once
    assert host.process.wait(15) == 0


def test_killed_daemon_ends_its_sessions(host, slow, escp):
    sessions = [*host.list_children(), *_find_agents(host)]
    host.process.kill()
    done = escp.finish(slow, 30)
    assert done.code == 16 and "has ended" in done.error
    end_s = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in sessions):
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_user_who_goes_leaves_nothing(host, slow, escp):
    os.killpg(slow.pid, 9)
    escp.finish(slow)
    end_s = time.monotonic() + 20
    while host.list_children():
        assert time.monotonic() < end_s
        time.sleep(0.05)


# ---- What a certificate, a line or the server block lets do ----------------------------------------------


@pytest.mark.parametrize("place_of_rule", ["map", "certificate"])
@pytest.mark.parametrize(
    ("rule", "words"),
    [("write-only", ""), ("read-only", ""), ("max-bytes", "1000"), ("max-files", "1"), ("restrict", "")],
)
def test_rules(host, run, source, folder, there, place_of_rule, rule, words):
    (source / "small").write_text("x")
    (source / "large").write_bytes(bytes(5000))
    (there / "own").write_text("y")
    value = f"={there / 'in'}" if rule == "restrict" else f"={words}" if words else ""
    if place_of_rule == "map":
        host.map(f"{USER} {ACCOUNT.pw_name} --{rule}{value}")
        host.reload()
    user = host.user("ruled", USER, *([f"escp-rule:{rule}{value}"] if place_of_rule == "certificate" else []))
    (there / "in").mkdir()
    os.chown(there / "in", ACCOUNT.pw_uid, ACCOUNT.pw_gid)
    if rule == "write-only":
        run(user, source / "small", host.place(there))
        assert "write-only" in run(user, host.place(there / "own"), folder / "got", code=16).error
    elif rule == "read-only":
        run(user, host.place(there / "own"), folder / "got")
        assert "read-only" in run(user, source / "small", host.place(there), code=16).error
    elif rule == "restrict":
        run(user, source / "small", host.place(""))
        assert (there / "in" / "small").exists()
        run(user, source / "small", host.place(there), code=16)
    else:
        run(user, source / "small", host.place(there))
        done = run(user, "-r", source, host.place(there), code=16)
        assert f"--{rule} {words} lets" in done.error


def test_ceiling_of_a_certificate_only_takes_away(host, run, source, there):
    (source / "file").write_bytes(bytes(5000))
    host.map(f"{USER} {ACCOUNT.pw_name} --max-bytes 1000")
    host.reload()
    user = host.user("ruled", USER, "escp-rule:max-bytes=1G")
    assert "max-bytes 1000" in run(user, source / "file", host.place(there), code=16).error


@needs_root
def test_server_block_holds_and_its_change_ends_sessions(place, run, source, there, escp):
    with TlsHost(place, has_own_etc=True) as host:
        alice = host.user()
        host.start()
        (source / "file").write_bytes(bytes(5000))
        host.config.write_text("server:\n  max-bytes: 1000\n")
        done = run(alice, source / "file", host.place(there), code=16)
        assert "max-bytes in /etc/escp.conf, line 2" in done.error
        host.config.write_text("server:\n  max-bytes: 1G\n")
        (source / "large").write_bytes(os.urandom(20_000_000))
        process = escp.start("--tls-dir", alice, "-l", "1M", source / "large", host.place(there), login=())
        time.sleep(4)
        host.config.write_text("server:\n  max-bytes: 2G\n")
        _assert_ended(host, process, escp, "was changed while the copy ran")


# ---- Hostile peers --------------------------------------------------------------------------------------


def _connect(host: TlsHost) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", host.port), 10)
    sock.settimeout(30)
    return sock


def _is_closed(sock: socket.socket) -> bool:
    try:
        while sock.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-x\r\n", b"\0" * 100, b"\x16\x03\x01\x00\x05\x02garbage",
             b"\x16\x03\x01\xff\xff\x01" + b"x" * 70000, b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03"]
)  # fmt: skip
def test_garbage(host, alice, run, source, there, data):
    (source / "file").write_text("x")
    with _connect(host) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was closed meanwhile
        assert _is_closed(sock)
    host.wait_for("refused")
    run(alice, source / "file", host.place(there))


def test_slow_handshake_is_ended(host):
    began_s = time.monotonic()
    with _connect(host) as nothing, _connect(host) as some, _connect(host) as more:
        for n_bytes, sock in ((3, some), (20, more)):
            sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".ljust(n_bytes, b"x")[:n_bytes])
        for sock in (more, some, nothing):
            assert _is_closed(sock)
            assert 5 < time.monotonic() - began_s < 25
            host.wait_for("refused")


def test_user_who_sends_what_is_no_frame(host, alice, run, source, there):
    (source / "file").write_text("x")
    for data in (b"\xff\xff\xff\xff" * 100, b"\x06\x00\x00\x01\x00", b"\x03\xff\xff\xff"):
        s_client(host, *of(alice), "-quiet", send=data)
    run(alice, source / "file", host.place(there))
    end_s = time.monotonic() + 10
    while host.list_children():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_many_strangers_leave_it_serving(host, alice, run, source, there):
    (source / "file").write_text("x")
    held = []
    for number in range(3000):
        sock = socket.create_connection(("127.0.0.1", host.port), 10)
        if number % 3 == 0:
            sock.sendall(b"garbage")
        elif number % 3 == 1:
            sock.sendall(b"\x16\x03")
        held.append(sock)
        if len(held) > 500:
            held.pop(0).close()
        if number in (1000, 2999):  # in the middle of it, too
            (there / "file").unlink(missing_ok=True)
            run(alice, source / "file", host.place(there))
            assert (there / "file").exists()
    for sock in held:
        sock.close()
    assert len(os.listdir(f"/proc/{host.pid}/fd")) < 300
    assert host.log.count("refused") < 100  # not a line for each


def test_strangers_with_half_a_handshake_leave_it_serving(host, alice, run, source, there):
    (source / "file").write_text("x")
    held = [_connect(host) for _ in range(200)]
    for sock in held:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    time.sleep(3)  # all have a process, or have had one
    assert 0 < len(host.list_children()) <= 40
    run(alice, source / "file", host.place(there))
    for sock in held:
        sock.close()


# ---- A hostile host -------------------------------------------------------------------------------------


@pytest.fixture
def fake(place) -> Iterator[tuple[TlsHost, int]]:
    """An `openssl s_server` in a daemon's place, with its certificate."""
    with TlsHost(place) as host:
        processes = []

        def start(*words: object) -> None:
            command = ["openssl", "s_server", "-accept", str(host.port), "-cert", host.files / "cert.pem",
                       "-key", host.files / "key.pem", "-quiet", *words]  # fmt: skip
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            processes.append(subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, **silent))
            time.sleep(0.5)

        host.start_fake, host.process, host.log_file = start, None, place / "none"
        host.log_file.write_text("")
        yield host, processes
        for process in processes:
            process.kill()
            process.wait()


def test_host_that_speaks_tls_1_2_only(fake, run, source):
    host, _ = fake
    host.start_fake("-tls1_2")
    assert "no TLS 1.3" in run(host.user(), source, host.place("x"), code=10).error


def test_host_that_sends_garbage(fake, run, source):
    host, processes = fake
    host.start_fake()
    processes[0].stdin.write(b"\xff" * 1000)
    processes[0].stdin.flush()
    assert "no escp" in run(host.user(), source, host.place("x"), code=10).error


def test_expired_host(fake, run, source):
    host, _ = fake
    for name in ("cert.pem", "key.pem"):
        (host.files / name).unlink()
    authority.make_certificate(str(host.ca), str(host.files), ["IP:127.0.0.1"], 90, PAST)
    host.start_fake()
    assert "it has expired" in run(host.user(), source, host.place("x"), code=10).error


def test_what_a_user_types_is_no_secret(host, alice, slow, escp):
    """Neither words nor environments of any process hold a key."""
    secret = "".join((alice / "key.pem").read_text().splitlines()[1:-1]).encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                assert secret not in Path("/proc", pid, name).read_bytes()
            except OSError:
                continue
    assert secret.decode() not in host.log
    slow.kill()
    escp.finish(slow)
