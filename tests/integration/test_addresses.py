"""Where the data goes, and comes in: addresses of the host that ssh reached, or that the user named."""

import contextlib
import json
import shlex
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.command import AGENT_COMMAND, N_PORTS, remote
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

PROGRAM = Path(__file__).parents[1] / "support" / "scripted_agent.py"
OPENED = ["opened", {"names_below": True, "is_in_order": False}]
FOREIGN = [f"127.0.0.{number}" for number in range(2, 22)]
ROOTS = ["roots", {"sources": [0], "names": [b"a".hex()], "directories": [0], "wants_more": False,
                   "is_last": True}]  # fmt: skip


@pytest.fixture
def talking(escp):
    """talking(message, ...): an agent that says these; with *login* 1 only the second one does."""

    def make(*messages: list, login: int | None = None) -> Path:
        script = escp.folder / "talking.json"
        script.write_text(json.dumps(messages))
        lines = [
            f"mkdir {escp.folder}/first 2>/dev/null",
            f"[ $? -eq {login} ] || exec {shlex.join(AGENT_COMMAND)} --server",
        ]
        command = f"exec {sys.executable} {PROGRAM} {script}"
        return escp.write_agent("talking", *([] if login is None else lines), command=command)

    return make


@pytest.fixture
def visits(escp):
    """Connections to foreign addresses, and to a port of the true one that is none of escp's."""
    found: list[tuple] = []
    other = socket.create_server(("127.0.0.1", 0))
    listeners = [other, *(socket.create_server((address, escp.port)) for address in FOREIGN)]

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                found.append(sock.getsockname())
                sock.close()

    threads = [threading.Thread(target=accept, args=(one,), daemon=True) for one in listeners]
    for thread in threads:
        thread.start()
    yield found, other.getsockname()[1]
    for one in listeners:
        one.shutdown(socket.SHUT_RDWR)
        one.close()
    for thread in threads:
        thread.join()


def listening(*addresses: str, port: int) -> list:
    return ["listening", {"addresses": addresses, "port": port, "n_streams": 4}]


def find_words(way: str, source: Path, target: Path) -> list:
    paths = [source, target]
    if way != "push":
        paths[0] = remote(source)
    if way != "pull":
        paths[1] = remote(target)
    return [*(["-R"] if way == "-R" else []), *paths]


@pytest.mark.parametrize("route", ["ssh", "jump"])
@pytest.mark.parametrize("way", ["push", "pull", "-3", "-R"])
def test_foreign_addresses_of_an_agent_are_not_connected_to(
    escp, talking, visits, source, target, way, route
):
    write_random(source / "a", 1000)
    messages = [listening(*FOREIGN, port=escp.port), ["alive"]]
    messages[:0] = [ROOTS] if way == "pull" else [OPENED]
    agent = talking(*messages, login=1 if way.startswith("-") else None)
    words = ["-J", "box"] if route == "jump" else []
    done = escp.run("--tunnel=never", *words, *find_words(way, source / "a", target), agent=agent)
    assert done.code == 13 and visits[0] == [], (done, visits[0])
    assert way == "-R" or ("127.0.0.2" in done.error and "--data-host" in done.error), done.err
    assert "127.0.0.1 port" in done.error


@pytest.mark.parametrize("way", ["push", "pull", "-3", "-R"])
def test_port_that_was_not_asked_for_is_not_connected_to(escp, talking, visits, source, target, way):
    write_random(source / "a", 1000)
    found, port = visits
    messages = [listening("127.0.0.1", port=port)]
    messages[:0] = [ROOTS] if way == "pull" else [OPENED]
    agent = talking(*messages, login=1 if way.startswith("-") else None)
    done = escp.run("--tunnel=never", *find_words(way, source / "a", target), agent=agent)
    assert done.code == 13 and found == [], (done, found)
    assert f"names port {port}" in done.error and str(escp.port) in done.error and done.hint


@pytest.mark.parametrize("way", ["push", "pull", "-3", "-R"])
def test_copy_behind_a_jump_host(escp, source, target, way):
    """There ssh has no connection of its own: its configuration says where the host is."""
    write_random(source / "a", 1000)
    words = find_words(way, source / "a", target)
    escp.copy("--tunnel=never", "-J", "box", *words)
    assert list_tree(target) == list_tree(source)


def test_host_whose_name_is_known_to_the_jump_host_only(escp, source, target):
    write_random(source / "a", 1000)
    port, config = escp.sshd.port, escp.sshd.client_config
    proxy = f"-oProxyCommand=ssh -F {config} -W 127.0.0.1:{port} box"
    words = ["-oHostName=nowhere.invalid", proxy, source / "a", remote(target)]
    done = escp.fail(13, "--tunnel=never", *words)
    assert "no address is known for box" in done.error and "--data-host" in done.hint
    done = escp.copy(*words)
    assert (
        "no address is known for box" in done.err and "--data-host" in done.err and "through ssh" in done.err
    )
    escp.copy("--tunnel=never", "--data-host", "127.0.0.1", *words)
    assert list_tree(target) == list_tree(source)


# ---- This host's port -------------------------------------------------------------------------------


def find_open(port: int) -> set[str]:
    """Addresses of this host on which somebody listens at one port of the range."""
    found = set()
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"):
        for number in range(port, port + N_PORTS):
            with contextlib.suppress(OSError), socket.create_connection((address, number), timeout=2):
                found.add(address)
    return found


@pytest.mark.parametrize(
    ("words", "address"),
    [([], "127.0.0.1"), (["-J", "box"], "127.0.0.1"), (["--bind", "127.0.0.2"], "127.0.0.2"),
     (["--data-host", "127.0.0.3"], "127.0.0.3"), (["-oBindAddress=127.0.0.2"], "127.0.0.2"),
     (["--bind", "127.0.0.2", "--data-host", "127.0.0.3"], "127.0.0.2")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)  # fmt: skip
@pytest.mark.parametrize("way", ["push", "pull"])
def test_reverse_listens_on_one_address(escp, talking, source, target, words, address, way):
    write_random(source / "a", 1000)
    agent = talking(ROOTS if way == "pull" else OPENED, listening(port=0))
    process = escp.start(
        "--reverse", "--tunnel=never", *words, *find_words(way, source / "a", target), agent=agent
    )
    assert wait_for(lambda: find_open(escp.port)) == {address}
    time.sleep(0.1)
    assert find_open(escp.port) == {address}
    process.terminate()
    escp.finish(process)


def test_reverse_with_an_address_that_is_not_here_says_that_it_listens_everywhere(
    escp, talking, source, target
):
    """It may be translated on the way, nobody here knows to which."""
    write_random(source / "a", 1000)
    agent = talking(OPENED, listening(port=0))
    words = ("-v", "--reverse", "--tunnel=never", "--data-host", "192.0.2.1")
    process = escp.start(*words, source / "a", remote(target), agent=agent)
    wait_for(lambda: {"127.0.0.1", "127.0.0.2"} <= find_open(escp.port))
    process.terminate()
    assert "all addresses of this host" in escp.finish(process).err


@pytest.mark.parametrize("words", [[], ["-J", "box"]], ids=["ssh", "jump"])
@pytest.mark.parametrize("way", ["push", "pull"])
def test_reverse_copy(escp, source, target, words, way):
    write_random(source / "a", 100_000)
    paths = find_words(way, source / "a", target)
    escp.copy("--tunnel=never", "--reverse", *words, *paths)
    assert list_tree(target) == list_tree(source)
