"""Under a low limit of open files fewer are opened at a time; none fails for it."""

import pytest

from tests.support.command import local, remote
from tests.support.directions import in_all_directions
from tests.support.trees import list_tree, write_random

N_SMALL, N_LARGE = 300, 48


@pytest.fixture
def tree(source):
    """More files than may be open: small ones, and large ones of which each stream gets a part."""
    tree = source / "tree"
    for number in range(N_SMALL):
        folder = tree / f"{number % 20}" / "in" / "depth"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(b"%d" % number * 100)
    for number in range(N_LARGE):
        write_random(tree / f"{number % 20}" / f"large{number}", 700_001)
    return tree


def limit_files(escp, n):
    """Arguments for a run in which neither end may open more."""
    return {"prefix": ("prlimit", f"--nofile={n}:{n}"), "agent": escp.write_agent("few", f"ulimit -n {n}")}


@pytest.mark.parametrize("n_files", [64, 128, 256])
@in_all_directions
def test_queue_of_open_files_follows_the_limit(escp, tree, target, way, n_files):
    escp.copy("-rp", "-t", "4", "--blocksize", "256K", way.source(tree), way.target(target),
              timeout_s=90, **limit_files(escp, n_files))  # fmt: skip
    assert list_tree(target / "tree") == list_tree(tree)


@pytest.mark.parametrize("at", ["sender", "receiver"])
def test_limit_of_one_end_is_enough(escp, tree, target, at):
    """The receiver says how many large files it can have open."""
    limits = limit_files(escp, 64)
    few = {"prefix": limits["prefix"]} if at == "sender" else {"agent": limits["agent"]}
    escp.copy("-r", "-t", "6", "--blocksize", "256K", tree, remote(target), timeout_s=90, **few)
    assert list_tree(target / "tree") == list_tree(tree)


def test_agent_on_this_host(escp, tree, target):
    escp.copy("-r", "-t", "4", "--blocksize", "256K", tree, local(target), is_embedded=True, timeout_s=90,
              prefix=("prlimit", "--nofile=64:64"))  # fmt: skip
    assert list_tree(target / "tree") == list_tree(tree)


def test_straight_from_host_to_host(escp, tree, target):
    escp.copy("-R", "-r", "-t", "4", remote(tree), remote(target), timeout_s=90, **limit_files(escp, 64))
    assert list_tree(target / "tree") == list_tree(tree)


def test_limit_that_is_too_low_is_named(escp, tree, target):
    done = escp.fail(14, "-r", "-t", "16", tree, target,
                     prefix=("prlimit", "--nofile=40:40"))  # fmt: skip
    assert "too many open files: the limit is 40 for a process (ulimit -n)" in done.error and done.hint
    assert list_tree(target) == {}
