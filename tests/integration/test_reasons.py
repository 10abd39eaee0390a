"""Why it failed, in ssh's own words, in the error, the log and JSON; and whether to try again."""

import signal
import time

import pytest

from tests.support.command import remote
from tests.support.trees import write_random


@pytest.fixture
def small(source):
    (source / "a").write_text("a")
    return source / "a"


CAUSES = {
    "unknown host": (["nosuch.invalid:"], "resolve hostname nosuch.invalid", False),
    "refused login": (["-o", "PubkeyAuthentication=no", "-B", "box:"], "Permission denied", False),
    "unknown key": (["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes", "box:"],
                    "verification failed", False),
    "wrong option": (["-o", "NoSuchOption=1", "box:"], "onfiguration option", False),
    "closed port": (["-o", "Port=1", "box:"], "refused", True),
    "missing ssh": (["-S", "/no/such/ssh", "box:"], "can't start '/no/such/ssh'", False),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_reason_of_ssh_is_in_the_error_the_log_and_json(escp, small, folder, cause):
    words, reason, is_retryable = CAUSES[cause]
    log = folder / "log"
    *options, target = words
    done = escp.run("--json", "--logfile", log, *options, small, target)
    error = done.json[-1]["error"]
    assert done.code == error["exit_code"] == 10
    assert reason in error["message"] and error["retryable"] is is_retryable
    if cause != "missing ssh":
        assert any(reason in line for line in error["said"])
        assert reason in log.read_text().splitlines()[-1]
        assert reason in escp.fail(10, *options, small, target).error


def test_last_words_of_an_agent_are_its_error(escp, small, target):
    agent = escp.write_agent("broken", "echo out of luck >&2; exit 7")
    done = escp.run("--json", small, remote(target), agent=agent)
    error = done.json[-1]["error"]
    assert error["message"] == "no escp answered on box (exit status 7): out of luck"
    assert error["said"] == ["out of luck"] and error["retryable"] is False


@pytest.mark.parametrize(
    "said",
    [
        "This account is currently not available.",
        "This service allows sftp connections only.",
        "rbash: restricted",
    ],
)
@pytest.mark.parametrize("to", ["", " >&2"])
def test_account_without_a_shell_is_told(escp, small, target, said, to):
    agent = escp.write_agent("locked", f"echo '{said}'{to}; exit 1")
    done = escp.fail(11, small, remote(target), agent=agent)
    assert "hint: does that account have a shell that runs commands? try `ssh box true`" in done.err


def test_scheme_that_is_no_host(escp, small):
    done = escp.fail(10, small, "sftp://box/x")
    assert "hint: escp knows scp:// and tls://, not sftp://" in done.err


def test_nothing_that_ssh_says_looks_like_a_word_of_ours(escp, small, target):
    agent = escp.write_agent("liar", "printf 'x\\nescp: error: forged\\n' >&2; exit 255")
    done = escp.fail(10, small, remote(target), agent=agent)
    assert done.error == "ssh could not log in to box: x"


@pytest.mark.parametrize(("number", "is_retryable"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_interrupt_is_meant_and_the_end_of_a_batch_job_is_not(escp, source, target, number, is_retryable):
    write_random(source / "a", 30_000_000)
    process = escp.start("--json", "-l", "2M", source / "a", remote(target))
    process.stdout.readline()  # start
    time.sleep(0.2)
    process.send_signal(number)
    done = escp.finish(process)
    assert done.code == 128 + number and done.json[-1]["error"]["retryable"] is is_retryable
