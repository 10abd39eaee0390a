"""The log: one escaped line an event, opened safely."""

import os
import re
import stat
import syslog

import pytest

from escp.errors import LocalFileError
from escp.ui.log import TransferLog


def test_lines_hold_utc_time_process_event_and_fields(tmp_path):
    path = str(tmp_path / "log")
    log = TransferLog(path, now=lambda: 1_000_000_000.25)
    assert log.write("start", host="h", streams=4, embedded=False, verified=None, seconds=1.5)
    log.close()
    log.close()
    with open(path) as file:
        assert file.read() == (
            f"2001-09-09T01:46:40.250Z escp[{os.getpid()}] "
            'start host="h" streams=4 embedded=no verified=- seconds=1.500\n'
        )


def test_names_and_messages_cannot_forge_a_line(tmp_path):
    log = TransferLog(str(tmp_path / "log"))
    log.write("error", is_error=True, path=b'a\n2001 "x\\\xff\x1b[2J', message="b\nc\u202e\udcff\u2028d")
    text = (tmp_path / "log").read_bytes()
    assert text.count(b"\n") == 1 and text.isascii()
    assert rb'path="a\n2001 \"x\\\xff\x1b[2J" message="b\nc\u202e\xff\u2028d"' in text


def test_a_second_run_appends_and_the_file_is_private(tmp_path):
    path = tmp_path / "log"
    for event in ("one", "two"):
        log = TransferLog(str(path))
        assert not os.get_inheritable(log._fd)
        log.write(event)
        log.close()
    assert re.findall(r"\] (\w+)$", path.read_text(), re.MULTILINE) == ["one", "two"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["link", "directory", "missing parent", "pipe without reader"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / "log"
    if kind == "link":
        path.symlink_to(tmp_path / "victim")
    elif kind == "directory":
        path.mkdir()
    elif kind == "missing parent":
        path = path / "x"
    else:
        os.mkfifo(path)
    with pytest.raises(LocalFileError, match="log file") as caught:
        TransferLog(str(path))
    assert isinstance(caught.value.__cause__, OSError) and caught.value.hint
    assert ("it is a symbolic link" in str(caught.value)) == (kind == "link")
    assert not (tmp_path / "victim").exists()


def test_a_full_disk_is_reported_and_not_fatal():
    log = TransferLog("/dev/full")
    assert log.write("x") is False
    log.close()


def test_facilities_go_to_syslog(monkeypatch):
    opened, lines = [], []
    monkeypatch.setattr(syslog, "openlog", lambda *args: opened.append(args))
    monkeypatch.setattr(syslog, "syslog", lambda *args: lines.append(args))
    log = TransferLog("LOCAL3")
    log.write("start", host="h")
    log.write("error", is_error=True, path=b"a\nb")
    log.close()
    assert opened[0] == ("escp", syslog.LOG_PID, syslog.LOG_LOCAL3)
    assert lines == [(syslog.LOG_NOTICE, 'start host="h"'), (syslog.LOG_ERR, r'error path="a\nb"')]


# --- Whose file it is --------------------------------------------------------------------------------


def give_away(path, monkeypatch):
    """To somebody who is neither root nor us."""
    if os.geteuid() == 0:
        os.chown(path, 4242, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 4243)


def test_file_of_roots_is_a_log(tmp_path, monkeypatch):
    """/var/log/escp.log of a site's configuration, which the group of its users may write."""
    if os.geteuid() != 0:
        pytest.skip("only root can make root's files")
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    log = TransferLog(str(path))
    assert log.write("x")
    log.close()
    assert path.read_text().endswith(" x\n")


def test_file_of_somebody_else_is_refused_and_stays_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_text("theirs\n")
    give_away(path, monkeypatch)
    with pytest.raises(LocalFileError, match="belongs to another user") as caught:
        TransferLog(str(path))
    assert caught.value.exit_code == 14 and caught.value.hint
    assert path.read_text() == "theirs\n"


def test_another_file_of_ours_behind_a_hard_link_is_refused(tmp_path):
    """Or a name in a log line would become a line of a start-up file."""
    precious = tmp_path / "bashrc"
    precious.write_text("mine\n")
    os.link(precious, tmp_path / "log")
    with pytest.raises(LocalFileError, match="hard link"):
        TransferLog(str(tmp_path / "log"))
    assert precious.read_text() == "mine\n"


def test_pipe_with_a_reader_is_written_to_unless_it_is_somebody_elses(tmp_path, monkeypatch):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = TransferLog(str(path))
    assert log.write("x")
    log.close()
    assert b" x\n" in os.read(reader, 1000)
    give_away(path, monkeypatch)
    with pytest.raises(LocalFileError, match="another user"):
        TransferLog(str(path))
    os.close(reader)


def test_refused_log_leaves_no_descriptor(tmp_path):
    (tmp_path / "a").touch()
    os.link(tmp_path / "a", tmp_path / "b")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(LocalFileError):
        TransferLog(str(tmp_path / "a"))
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full"])
def test_devices_are_roots_and_may_be_logs(path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    TransferLog(path).close()
