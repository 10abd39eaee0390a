"""push_agent: a program connects with a host that has no escp, and keeps working over that one login."""

import asyncio
import os
from collections.abc import Iterator

import pytest

import escp as library
from escp import aio, errors
from tests.api.test_blocks import make_data
from tests.support.pushing import PushedHost, start_sshd
from tests.support.sshd import Sshd
from tests.support.trees import list_tree, make_tree

MIB = 1 << 20


@pytest.fixture(scope="module")
def sshd(tmp_path_factory) -> Iterator[Sshd]:
    """One whose user has another home in each test."""
    with start_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def host(escp) -> PushedHost:
    return PushedHost(escp)


def login(host, tree=None):
    return {"ssh_config": host.escp.sshd.client_config, "escp_port": host.escp.port, "push_agent": True,
            "agent_tree": tree or host.tree}  # fmt: skip


def test_all_that_a_connection_does(host, source, target, monkeypatch):
    """What was pushed carries the other agents, too; it is pushed once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(host.escp.home / ".cache-here"))
    make_tree(source)
    data, n_logins = make_data(3 * MIB), host.escp.sshd.n_logins
    for number in range(2):
        there = target / str(number)
        with library.connect("box", timeout=60, **login(host)) as remote:
            assert host.is_in_place()
            assert remote.put(source, there, recursive=True).ok
            assert remote.get(there, source.parent / f"back-{number}", recursive=True).ok
            with remote.open_blocks(there / "blocks", size=len(data), block=MIB) as w:
                for offset in range(0, len(data), MIB):
                    w.write_block(offset, data[offset : offset + MIB])
            found = bytearray(len(data))
            for block in remote.receive_blocks(there / "blocks"):
                found[block.offset : block.offset + len(block)] = block.data
                block.release()
            assert found == data and remote.digest(there / "blocks") == library.digest(there / "blocks")
            remote.remove(there / "blocks")
        assert list_tree(there) == list_tree(source) == list_tree(source.parent / f"back-{number}")
    assert host.escp.sshd.n_logins == n_logins + 2 and host.is_in_place()
    host.escp.assert_nothing_left()


def test_single_copies(host, source, target, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(host.escp.home / ".cache-here"))
    (source / "a").write_bytes(make_data(MIB))
    words = login(host)
    ends = {"push": (source / "a", f"box:{target}/push"), "pull": (f"box:{source}/a", target / "pull"),
            "between": (f"box:{source}/a", f"box:{target}/between")}  # fmt: skip
    for pair in ends.values():
        assert library.copy(*pair, **words).ok
    assert library.copy(*ends["between"][:1], f"box:{target}/direct", direct=True, **words).ok
    assert {(target / name).read_bytes() for name in (*ends, "direct")} == {make_data(MIB)}
    host.escp.assert_nothing_left()


async def connect_and_look(host, target):
    async with aio.connect("box", timeout=60, **login(host)) as remote:
        return await remote.list(target)


def test_asyncio(host, target, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(host.escp.home / ".cache-here"))
    assert asyncio.run(connect_and_look(host, target)) == []
    host.escp.assert_nothing_left()


def test_what_can_not_be_pushed(host, folder, monkeypatch):
    """From source there is nothing to push; a folder that is no frozen escp is none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(host.escp.home / ".cache-here"))
    for tree in (folder, folder / "absent"):
        with pytest.raises(errors.UsageError):
            library.connect("box", **login(host, tree))
    os.chmod(host.home, 0o500)
    try:
        if os.getuid() == 0:
            host.lines.append("export HOME=/proc/none")
            host.write()
        with pytest.raises(library.EscpError):
            library.connect("box", timeout=60, **login(host))
    finally:
        os.chmod(host.home, 0o700)
    host.escp.assert_nothing_left()
