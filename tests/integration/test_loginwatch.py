"""Logins that come to nothing are ended, and those are waited for that somebody has to answer."""

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from escp.remote.ssh import find_setting
from tests.fault.test_causes import name_ends
from tests.support.command import DRIVER, needs_source, remote
from tests.support.trees import write_random
from tests.support.waiting import wait_for

LOGIN_S = 4.0
PASSPHRASE = "correct horse"


@pytest.fixture
def dead_end():
    """A port where an sshd greets, and then the network is gone: nothing more ever comes."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = []

    def greet() -> None:
        with contextlib.suppress(OSError):
            while True:
                held.append(listener.accept()[0])
                held[-1].sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    threading.Thread(target=greet, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()
    for sock in held:
        sock.close()


@needs_source
def test_network_that_is_lost_while_ssh_logs_in(together, dead_end):
    def check(escp, source, target, way):
        (source / "a").write_text("a")
        words = ["-P", str(dead_end), *name_ends(way, source / "a", target)]
        begin_s = time.monotonic()
        env = escp.write_driver(login_s=LOGIN_S)
        done = escp.fail(13, *words, env=env, command=[sys.executable, str(DRIVER)])
        assert "heard nothing from box" in done.error and "network" in done.hint
        assert LOGIN_S <= time.monotonic() - begin_s < 20

    together(["push", "pull", "-3"], check)


# What the connection goes through: stopped, it is a network that is gone.
PIPE = """
import os, socket, sys, threading
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def move(take, give):
    while data := take():
        give(data)
threading.Thread(target=move, args=(lambda: os.read(0, 65536), sock.sendall), daemon=True).start()
move(lambda: sock.recv(65536), lambda data: os.write(1, data))
"""


def fails_behind_another_ssh(escp, source, target, way):
    folder = escp.folder
    (source / "a").write_text("a")
    (folder / "pipe.py").write_text(PIPE)
    place = folder / "master"
    proxy = f"ProxyCommand={sys.executable} {folder}/pipe.py 127.0.0.1 {escp.sshd.port}"
    base = ["ssh", "-F", str(escp.sshd.client_config), "-S", str(place)]
    master = subprocess.Popen([*base, "-M", "-N", "-o", proxy, "box"], stdin=subprocess.DEVNULL)
    try:
        wait_for(place.exists)
        (pipe,) = (pid for pid in _list_children(master.pid))
        os.kill(pipe, signal.SIGSTOP)
        env = escp.write_driver(login_s=1.5)
        done = escp.fail(13, "-o", f"ControlPath={place}", *name_ends(way, source / "a", target), env=env,
                         command=[sys.executable, str(DRIVER)])  # fmt: skip
        assert "heard nothing from box" in done.error and "ssh -O exit" in done.hint
    finally:
        os.kill(pipe, signal.SIGKILL)
        master.kill()
        master.wait()


@needs_source
def test_network_that_is_lost_behind_another_sshs_connection(together):
    together(["push", "pull", "-3"], fails_behind_another_ssh)


def _list_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@needs_source
@pytest.mark.parametrize("way", ["push", "pull"])
def test_proxy_command_that_hangs(escp, source, target, way):
    (source / "a").write_text("a")
    done = escp.fail(13, "-o", "ProxyCommand=sleep 1000", "-o", "ConnectTimeout=0",
                     *name_ends(way, source / "a", target), env=escp.write_driver(login_s=1.5),
                     command=[sys.executable, str(DRIVER)])  # fmt: skip
    assert "heard nothing from box" in done.error and "ProxyCommand" in done.hint


@needs_source
def test_question_of_ssh_is_waited_for(escp, source, target, folder):
    """It asks for a passphrase on the terminal for longer than a silent login may take."""
    write_random(source / "a", 1000)
    key = folder / "secret_key"
    shutil.copy(escp.sshd.folder / "user_key", key)
    shutil.copy(escp.sshd.folder / "user_key.pub", f"{key}.pub")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", str(key)], check=True)
    config = folder / "asking_config"
    text = escp.sshd.client_config.read_text()
    config.write_text(text.replace(f"{escp.sshd.folder}/user_key\n", f"{key}\n    IdentityAgent none\n"))
    master, slave = pty.openpty()
    try:
        login = ("-F", str(config), "-D", str(escp.agent))
        process = escp.start(
            source / "a", remote(target), login=login, env=escp.write_driver(login_s=LOGIN_S),
            command=[sys.executable, str(DRIVER)],
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        asked = b""
        while b"passphrase" not in asked:
            asked += os.read(master, 1000)
        time.sleep(3 * LOGIN_S)
        assert process.poll() is None
        os.write(master, PASSPHRASE.encode() + b"\n")
        done = escp.finish(process)
    finally:
        os.close(slave)
        os.close(master)
    assert done.code == 0, done
    assert (target / "a").read_bytes() == (source / "a").read_bytes()


@needs_source
def test_login_that_takes_its_time_and_shows_life_is_waited_for(escp, source, target):
    """A slow login script, or a queue in front of the agent: ssh hears that the host is there."""
    write_random(source / "a", 1000)
    agent = escp.write_agent("slow", f"sleep {3 * LOGIN_S:.0f}")
    escp.copy("-o", "ServerAliveInterval=1", source / "a", remote(target), agent=agent,
              env=escp.write_driver(login_s=LOGIN_S), command=[sys.executable, str(DRIVER)])  # fmt: skip
    assert wait_for((target / "a").exists)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", False),
        ("Host *\n  ForwardAgent no\n# ServerAliveInterval 15\n", False),
        ("Host *\n  ServerAliveInterval 15\n", True),
        ("serveraliveinterval=0\n", True),
        ("Include other\n", None),
        ("Include other\nServerAliveInterval 15\n", True),
    ],
)
def test_what_the_users_configuration_says_of_it(tmp_path, text, found):
    (tmp_path / "config").write_text(text)
    assert find_setting(["-x", "-F", str(tmp_path / "config")], "serveraliveinterval") is found


@pytest.mark.parametrize(("text", "is_ours"), [("", True), ("ServerAliveInterval 15\n", False)])
@pytest.mark.parametrize("through", ["", "Include"])
def test_alive_interval_is_ours_unless_the_user_has_one(
    tmp_path, escp, source, target, text, is_ours, through
):
    """What ssh itself makes of all its words."""
    config, noted = tmp_path / "config", tmp_path / "words"
    (tmp_path / "more").write_text(text)
    own = f"Include {tmp_path}/more\n" if through else text
    config.write_text(own + escp.sshd.client_config.read_text())
    program = tmp_path / "ssh"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *-G*) ;; *) printf "%s\\n" "$@" > {noted};; esac\nexec ssh "$@"\n'
    )
    program.chmod(0o755)
    (source / "a").write_text("a")
    escp.copy("-S", program, source / "a", remote(target), login=("-F", str(config), "-D", str(escp.agent)))
    assert ("-oServerAliveInterval=40" in noted.read_text().split("\n")) is is_ours
