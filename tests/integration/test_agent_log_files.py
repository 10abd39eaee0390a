"""`--log-files` of a host that is logged in to: each file, whatever the other side asks for."""

import os
import re

import pytest

import escp as library

KINDS = {"a": "file", "d/large": "file", "link": "link", "more": "file", "pipe": "device"}


@pytest.fixture
def tree(source):
    """One of each kind: small, large, symbolic link, hard link, fifo."""
    (source / "d").mkdir()
    (source / "a").write_bytes(b"a" * 1000)
    (source / "d" / "large").write_bytes(os.urandom(1_500_000))
    (source / "link").symlink_to("a")
    (source / "more").hardlink_to(source / "a")
    os.mkfifo(source / "pipe")
    return source


@pytest.fixture
def logged(host):
    """The forced command's host, whose agents log files; reads what they have logged since the last time."""
    log = host.folder / "agent.log"
    host.force("--restrict", host.reached, "--logfile", log, "--log-files")

    def read():
        """Of each agent, one after the other: kind, size and digest by path, and the lines of errors."""
        lines = [line.partition("] ")[2] for line in log.read_text().splitlines()]
        log.unlink()
        files = [
            re.fullmatch(r'file path="(.*)" kind="(\w+)" bytes=(\d+) digest=(-|"\w+") ok=yes', line)
            for line in lines if line.startswith("file ")
        ]  # fmt: skip
        assert all(files), lines
        return [found.groups() for found in files], [line for line in lines if line.startswith("error ")]

    return read


def assert_lists(found, top, tree, *, has_digests=True):
    """A line for each of *tree*, by its path below *top*."""
    assert sorted(path for path, *_ in found) == sorted(f"{top}/{name}" for name in KINDS)
    further = []
    for path, kind, size, digest in found:
        name = path.removeprefix(f"{top}/")
        assert kind == KINDS[name], path
        if kind == "file":
            if size == "0":
                further.append(name)
                assert digest == "-"
                continue
            assert int(size) == (tree / name).stat().st_size
            assert not has_digests or digest == f'"{library.digest(tree / name).hex()}"'
        if kind != "file" or not has_digests:
            assert digest == "-"
    assert further in (["a"], ["more"])  # of two names one is a hard link to the other


ALL_KINDS = ("-r", "--links", "--hard-links", "--devices")


@pytest.mark.parametrize(
    "more", [(), ("--itemize",), ("--fsync",), ("--nochecksum",), ("--checksum",)], ids=str
)
def test_a_receiver_and_a_sender_list_what_was_copied(host, tree, target, logged, more):
    has_digests = more != ("--nochecksum",)
    host.escp.copy(*ALL_KINDS, *more, tree, f"box:{host.reached}/in")
    found, errors = logged()
    assert_lists(found, f"{host.reached}/in", tree, has_digests=has_digests)
    host.escp.copy(*ALL_KINDS, *more, f"box:{host.reached}/in", target)
    sent, more_errors = logged()
    assert_lists(sent, f"{host.reached}/in", tree, has_digests=has_digests)
    assert not errors and not more_errors


@pytest.mark.parametrize("way", ["-3", "-R"])
def test_between_two_hosts_both_list_it(host, tree, logged, way):
    host.escp.copy(*ALL_KINDS, tree, "box:")
    logged()
    host.escp.copy(way, *ALL_KINDS, "box:source", "box:again")
    found, _ = logged()
    of_receiver = [one for one in found if one[0].startswith("again/")]
    assert_lists(of_receiver, "again", tree)
    assert_lists([one for one in found if one not in of_receiver], "source", tree)


def test_what_is_skipped_or_only_looked_at_is_not_listed(host, tree, target, logged):
    host.escp.copy("-n", *ALL_KINDS, tree, "box:")
    assert logged() == ([], [])
    host.escp.copy("-p", *ALL_KINDS, tree, "box:")
    logged()
    host.escp.copy("-p", "--skip-unchanged", *ALL_KINDS, tree, "box:")
    assert [one for one in logged()[0] if one[1] == "file"] == []
    host.escp.copy("-p", "--skip-unchanged", "box:source/a", target / "b")
    assert [one[0] for one in logged()[0]] == ["source/a"]


def test_what_fails_is_an_error_and_no_file(host, source, logged):
    (source / "a").write_text("x")
    (source / "b").write_text("y")
    (host.reached / "source" / "a").mkdir(parents=True)
    assert host.escp.run("-r", source, "box:").code == 1
    found, errors = logged()
    assert [one[0] for one in found] == ["source/b"]
    assert len(errors) == 1 and 'path="source/a"' in errors[0]


def test_one_file_under_a_new_name_and_one_that_is_removed_at_its_source(host, source, target, logged):
    (source / "a\nb").write_text("x")
    host.escp.copy(source / "a\nb", "box:new")
    assert [one[0] for one in logged()[0]] == ["new"]
    (host.reached / "a\nb").write_text("x")
    host.escp.copy("--remove-source-files", "box:a\nb", target)
    assert [one[0] for one in logged()[0]] == [r"a\nb"]
    assert not (host.reached / "a\nb").exists()
