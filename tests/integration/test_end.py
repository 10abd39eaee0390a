"""How a session ends before its time: by a signal, or because somebody was killed. Nothing stays behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.command import local, remote
from tests.support.leftovers import find_agents, find_processes, find_ssh
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

SLOW = ("-l", "300K")  # with the files below: for half a minute
GONE_S = 10.0


@pytest.fixture(params=["one large file", "many small files"])
def sources(request, source) -> Path:
    if request.param == "one large file":
        write_random(source / "large", 9_000_000)
    else:
        for number in range(300):
            write_random(source / f"small-{number:03}", 30_000, seed=number)
    return source


def start_slow(escp, sources, target, *options, is_embedded: bool = False):
    """A copy in the middle of its data, and its agent's process number."""
    where = local(target) if is_embedded else remote(target)
    process = escp.start("-r", *SLOW, *options, "--json", sources, where, is_embedded=is_embedded)
    assert b'"start"' in process.stdout.readline()
    time.sleep(0.7)
    (agent,) = find_agents(escp.mark)
    return process, agent


def assert_only_whole_files(sources, target) -> None:
    expected = list_tree(sources)
    copied = list_tree(target / sources.name) if (target / sources.name).exists() else {}
    assert copied.items() <= expected.items()
    assert len(copied) < len(expected)


def finish_with_error(escp, process) -> dict:
    done = escp.finish(process, GONE_S)
    result = done.json[-1]
    assert result["type"] == "result" and result["exit_code"] == done.code
    return result


# ---- kill -9 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_embedded", [False, True])
def test_initiator_killed_agent_ends(escp, sources, target, is_embedded):
    process, _ = start_slow(escp, sources, target, is_embedded=is_embedded)
    process.kill()
    process.wait()
    escp.assert_nothing_left(GONE_S)
    assert_only_whole_files(sources, target)


@pytest.mark.parametrize("is_embedded", [False, True])
def test_agent_killed_initiator_ends(escp, sources, target, is_embedded):
    process, agent = start_slow(escp, sources, target, is_embedded=is_embedded)
    os.kill(agent, signal.SIGKILL)
    result = finish_with_error(escp, process)
    assert result["exit_code"] == 13 and result["error"]["message"] and result["error"]["retryable"]
    escp.assert_nothing_left(GONE_S)
    assert_only_whole_files(sources, target)


def test_ssh_killed_both_end(escp, sources, target):
    """Where no other way is looked for: fault/test_lost_ssh has the rest."""
    process, _ = start_slow(escp, sources, target, "--reconnect-timeout", "0")
    os.kill(find_ssh(escp.mark), signal.SIGKILL)
    assert finish_with_error(escp, process)["exit_code"] == 13
    escp.assert_nothing_left(GONE_S)
    assert_only_whole_files(sources, target)


def test_agent_ended_by_sigterm_initiator_ends(escp, source, target):
    write_random(source / "large", 9_000_000)
    process, agent = start_slow(escp, source, target)
    os.kill(agent, signal.SIGTERM)
    assert finish_with_error(escp, process)["exit_code"] == 13
    escp.assert_nothing_left(GONE_S)


# ---- Signals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_embedded", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_both_sides(escp, sources, target, number, is_embedded):
    process, _ = start_slow(escp, sources, target, is_embedded=is_embedded)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal sends it: to ssh too
    else:
        os.kill(process.pid, number)
    result = finish_with_error(escp, process)
    assert result["exit_code"] == 128 + number and result["error"]["message"] == f"ended by signal {number}"
    escp.assert_nothing_left(GONE_S)
    assert_only_whole_files(sources, target)


def test_ctrl_c_prints_no_traceback(escp, source, target):
    write_random(source / "large", 9_000_000)
    process = escp.start(*SLOW, source / "large", remote(target))
    wait_for(lambda: find_agents(escp.mark))
    time.sleep(0.7)
    os.killpg(process.pid, signal.SIGINT)
    done = escp.finish(process, GONE_S)
    assert done.code == 130
    assert done.err == "escp: error: ended by signal 2\n"
    escp.assert_nothing_left(GONE_S)


@pytest.mark.parametrize("after_s", [0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4])
def test_ctrl_c_at_any_moment_of_the_start(escp, source, target, after_s):
    """From the start of ssh on: before that Python itself may still be starting, and swallow it."""
    write_random(source / "large", 9_000_000)
    process = escp.start(*SLOW, source / "large", remote(target))
    wait_for(lambda: any(line.startswith("ssh ") for line in find_processes(escp.mark).values()))
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGINT)
    done = escp.finish(process, GONE_S)
    assert done.code == 130, done
    assert "Traceback" not in done.err
    escp.assert_nothing_left(GONE_S)
    assert list_tree(target) == {}


def test_ctrl_c_while_ssh_waits_for_a_silent_host(escp, source, target):
    write_random(source / "a", 10)
    agent = escp.write_agent("hanging", command="exec cat > /dev/null")
    process = escp.start(source / "a", remote(target), agent=agent)
    wait_for(lambda: "cat" in find_processes(escp.mark).values())
    os.killpg(process.pid, signal.SIGINT)
    assert escp.finish(process, GONE_S).code == 130
    escp.assert_nothing_left(GONE_S)


def test_suspended_initiator_goes_on(escp, source, target):
    """Ctrl-Z and `fg`: both sides take up where they were."""
    write_random(source / "large", 1_000_000)
    process = escp.start("-l", "500K", source / "large", remote(target))
    wait_for(lambda: find_agents(escp.mark))
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGCONT)
    assert escp.finish(process).code == 0
    assert list_tree(target) == list_tree(source)


def test_reader_of_messages_that_went_away_does_not_stop_the_copy(escp, source, target):
    write_random(source / "large", 1_000_000)
    process = escp.start("-l", "500K", "--json", "-v", source / "large", remote(target))
    process.stdout.close()
    process.stderr.close()
    process.stdout = process.stderr = None
    assert process.wait(30) == 0
    assert list_tree(target) == list_tree(source)


def test_signal_that_comes_twice_at_once_counts_once(escp, sources, target):
    """timeout(1) tells first its child and then the whole group."""
    done = escp.run("-r", *SLOW, sources, remote(target), prefix=("timeout", "-s", "TERM", "3"))
    assert done.code == 124 and "ended by signal" in done.error, done.err
    escp.assert_nothing_left()
