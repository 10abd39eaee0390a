"""An agent's own log: its session from start to end, or nothing."""

import os
import re

import pytest

from escp.agent.agentlog import open_agent_log
from escp.control.messages import Receive, Send
from escp.errors import NetworkError, RemoteFileError
from escp.ui.fields import find_user

COUNTERS = {
    "files": 2,
    "directories": 1,
    "failed": 1,
    "bytes": 10,
    "bytes_network": 400,
    "bytes_compressed": 9,
}


def make_receive(**fields):
    numbers = dict.fromkeys((*Receive._fields,), False) | {"target": b"", "n_sources": 1, "filters": []}
    return Receive(**numbers | fields)


def make_send(**fields):
    return Send(**dict.fromkeys((*Send._fields,), False) | fields)


def write_agent_log(path, *calls):
    """The events of an agent's log without their times."""
    log = open_agent_log(str(path))
    for name, arguments in calls:
        getattr(log, name)(**arguments)
    log.close()
    log.close()
    return [line.partition("] ")[2] for line in path.read_text().splitlines()]


BEGIN = ("begin", {"role": "receiver", "host": "192.0.2.1", "streams": 4, "block_bytes": 1, "aead": "imb"})
BEGUN = 'start role="receiver" host="192.0.2.1" streams=4 block_bytes=1 aead="imb"'


def test_agent_log_tells_start_errors_and_summary(tmp_path):
    error = ("file_error", {"path": b"a\nb", "message": "no space\x1b"})
    lines = write_agent_log(tmp_path / "log", BEGIN, error, ("finish", {"counters": COUNTERS}))
    assert lines[:2] == [BEGUN, r'error path="a\nb" message="no space\x1b"']
    assert re.fullmatch(
        "summary files=2 directories=1 failed=1 skipped=- bytes=10 bytes_network=400 bytes_disk=10 "
        r"bytes_compressed=9 seconds=\d\.\d{3}",
        lines[2],
    )
    assert len(lines) == 3


def test_agent_log_tells_what_the_receiver_wrote(tmp_path):
    counters = {**COUNTERS, "bytes_disk": 7}
    assert "bytes_disk=7" in write_agent_log(tmp_path / "log", ("finish", {"counters": counters}))[0]


def test_agent_log_of_a_failed_session(tmp_path):
    lines = write_agent_log(tmp_path / "log", BEGIN, ("fail", {"error": NetworkError("gone\n", "x")}))
    assert lines[:2] == [BEGUN, r'failure exit_code=13 message="gone\n"']
    assert lines[2].startswith("session ") and lines[2].endswith(r' ok=no exit_code=13 message="gone\n"')


def test_agent_log_of_a_session_that_just_ended(tmp_path):
    assert write_agent_log(tmp_path / "log", BEGIN)[1] == 'failure message="ended before all was copied"'


def test_agent_log_of_a_session_that_only_examined(tmp_path):
    assert write_agent_log(tmp_path / "log", BEGIN, ("examined", {})) == [BEGUN, "examined"]


def test_agent_without_a_log_writes_none(tmp_path):
    log = open_agent_log(None)
    log.begin(**BEGIN[1])
    log.finish(COUNTERS)
    log.close()


def test_agent_log_that_cannot_be_opened_is_the_remote_ones(tmp_path):
    (tmp_path / "link").symlink_to("x")
    with pytest.raises(RemoteFileError, match="the remote escp cannot open the log file") as caught:
        open_agent_log(str(tmp_path / "link"))
    assert caught.value.exit_code == 15 and not (tmp_path / "x").exists()


def test_agent_log_that_is_refused_says_what_to_do(tmp_path):
    (tmp_path / "bashrc").write_text("mine\n")
    os.link(tmp_path / "bashrc", tmp_path / "log")
    with pytest.raises(RemoteFileError, match="the remote escp cannot open the log file") as caught:
        open_agent_log(str(tmp_path / "log"))
    assert caught.value.hint and (tmp_path / "bashrc").read_text() == "mine\n"


def test_session_is_one_line_with_all_that_was_asked_for_and_came_of_it(tmp_path):
    order = make_receive(target=b"in\n", is_recursive=True, deletes=True)
    lines = write_agent_log(
        tmp_path / "log", ("take_order", {"order": order, "peer": "192.0.2.1"}), BEGIN,
        ("deleted", {"path": b"x"}), ("finish", {"counters": COUNTERS}),
    )  # fmt: skip
    user, here = re.escape(find_user()), re.escape(os.uname().nodename)
    assert re.fullmatch(
        rf'session user="{user}" local_host="{here}" host="192.0.2.1" role="receiver" sources=\[\] '
        r'sources_total=- target="in\\n" options=\["is_recursive","deletes"\] files=2 directories=1 bytes=10 '
        r'failed=1 skipped=- deleted=1 seconds=\d\.\d{3} ok=no exit_code=1 message=""',
        lines[-1],
    ), lines[-1]  # fmt: skip


def test_session_of_a_sender_that_just_ended(tmp_path):
    order = make_send()
    lines = write_agent_log(
        tmp_path / "log",
        ("take_order", {"order": order, "peer": ""}),
        ("take_sources", {"paths": [b"a", b"~/b"]}),
    )
    assert 'role="sender" sources=["a","~/b"]' in lines[-1] and "target=-" in lines[-1]
    assert lines[-1].endswith('ok=no exit_code=- message="ended before all was copied"')


def test_log_that_a_configuration_asks_for_and_cannot_be_opened_does_not_end_a_session(tmp_path):
    log = open_agent_log(str(tmp_path / "no" / "log"), is_configured=True)
    log.begin(**BEGIN[1])
    log.finish(COUNTERS)
    assert log.failure.startswith("cannot open the log file") and log.failure.endswith(
        "no such file or directory"
    )


def test_paths_of_a_receiver_have_the_target_in_front(tmp_path):
    calls = [("file_error", {"path": b"d/a", "message": "m"}), ("deleted", {"path": b"d/"}),
             ("file_error", {"path": b"", "message": "m"})]  # fmt: skip
    order = ("take_order", {"order": make_receive(target=b"/in"), "peer": ""})
    lines = write_agent_log(tmp_path / "log", order, *calls)
    assert [line.split()[1] for line in lines[:3]] == ['path="/in/d/a"', 'path="/in/d/"', 'path="/in"']
    order = ("take_order", {"order": make_send(), "peer": ""})
    assert write_agent_log(tmp_path / "log2", order, calls[0])[0].startswith('error path="d/a"')


def test_files_are_told_of_only_where_they_are_asked_for(tmp_path):
    assert open_agent_log(str(tmp_path / "log")).tell_copied is None
    assert open_agent_log(None, lists_files=True).tell_copied is None
    log = open_agent_log(str(tmp_path / "log"), lists_files=True)
    log.take_order(make_receive(target=b"/in"), "")
    log.tell_copied(b"a\n", bytes(range(16)), "file", 7)
    log.tell_copied(b"l", b"", "link", 0)
    lines = [line.partition("] ")[2] for line in (tmp_path / "log").read_text().splitlines()]
    assert lines == [
        r'file path="/in/a\n" kind="file" bytes=7 digest="000102030405060708090a0b0c0d0e0f" ok=yes',
        'file path="/in/l" kind="link" bytes=0 digest=- ok=yes',
    ]
