"""How ssh is started: nothing of a host's name is an option, and no core dump has the secret in it."""

import os
import resource
import subprocess
import sys

import pytest

from escp.options.options import parse_options
from escp.remote.ssh import configured_host_name, start_agent, start_command

HOST = "user@dtn1"


@pytest.fixture
def ssh(tmp_path):
    """A program for -S that notes its words and its limit on core dumps."""
    path = tmp_path / "ssh"
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\nulimit -Sc > {tmp_path}/limit\n')
    path.chmod(0o755)
    return path


def options_of(ssh, *words):
    return parse_options(["-S", str(ssh), "-P", "2222", "-o", "BatchMode=yes", *words, "/a", f"{HOST}:b"])


def finish(process) -> None:
    assert process.wait(10) == 0
    process.stop()


def start_directly(options):
    finish(start_agent(options, options.target))


def run_a_command(options):
    finish(start_command(options, options.target, "true"))


def ask_for_the_host_name(options):
    configured_host_name(options, options.target)


STARTS = [start_directly, run_a_command, ask_for_the_host_name]


@pytest.mark.parametrize("start", STARTS)
def test_two_dashes_stand_before_the_host(tmp_path, ssh, start):
    options = options_of(ssh)
    start(options)
    words = (tmp_path / "words").read_text().splitlines()
    at = words.index("--")
    assert words[at + 1] == HOST and words.count(HOST) == 1
    assert "-p" in words[:at] and "BatchMode=yes" in words[:at]
    assert len(words) - at <= 3  # host and command


@pytest.mark.parametrize("start", STARTS[:2])
def test_child_dumps_no_core_and_limits_stay_the_users(tmp_path, ssh, start):
    before = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        if before[1]:
            resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
        start(options_of(ssh))
        assert (tmp_path / "limit").read_text().strip() == "0"
        assert resource.getrlimit(resource.RLIMIT_CORE) == (
            before[1],
            before[1],
        )  # that of a program that uses escp
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.parametrize("word", ["-oProxyCommand=x:y", "a@-oProxyCommand=x:y", "scp://-oProxyCommand=x/y"])
def test_host_that_looks_like_an_option_is_refused(word):
    command = [sys.executable, "-m", "escp", "/a", word]
    done = subprocess.run(command, capture_output=True, timeout=30, env={**os.environ, "ESCP_CONFIG": ""})
    assert done.returncode == 2, done
