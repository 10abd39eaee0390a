"""--push-agent with the real frozen programs; tests/integration/test_push_agent.py has the cases."""

import subprocess

import pytest

from tests.support.command import remote
from tests.support.pushing import MANIFEST, PushedHost, find_identity, start_sshd
from tests.support.trees import list_tree, make_tree


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """One whose user has another home in each test."""
    with start_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def is_whole(host: PushedHost) -> bool:
    """One tree has been pushed: what its own MANIFEST says, by whose digest it is called."""
    (name,) = host.list_cache()
    subprocess.run(["sha256sum", "-c", "--quiet", MANIFEST], cwd=host.cache / name, check=True, timeout=60)
    return find_identity(host.cache / name) == name


@pytest.mark.parametrize("kind", ["tree", "one file"])
def test_frozen_program_sends_its_tree(escp, source, target, installed_tree, one_file, kind):
    make_tree(source)
    host = PushedHost(escp, installed_tree)
    command = [str(installed_tree / "bin" / "escp" if kind == "tree" else one_file)]
    ways = {
        "push": (source, remote(target)),
        "pull": (remote(source), target),
        "-R": ("-R", remote(source), remote(target)),
    }
    for way, words in ways.items():
        done = escp.copy("-r", "-p", *words, login=("--push-agent",), command=command)
        assert list_tree(source) == list_tree(target / "source") and is_whole(host)
        assert host.is_in_place() or kind == "one file"  # which carries a tree of another kind
        assert ("sending escp to box" in done.err) == (way == "push")
    said = escp.run("--clean-agents", "box", login=(), command=command, has_ports=False).out
    assert "kept" in said and is_whole(host)
