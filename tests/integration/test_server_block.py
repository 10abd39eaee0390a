"""The `server:` block of a host's /etc/escp.conf: each rule, whatever the other side asks for."""

import os
import time

import pytest

import escp as library
from escp import errors
from tests.api.test_copy import login
from tests.support.command import needs_root, needs_source
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

pytestmark = needs_source  # the file's path is changed


@pytest.fixture
def tree(source):
    for number in range(20):
        (source / f"{number:02}").write_text(f"{number}" * 100)
    return source


def files_in(path) -> list:
    return [one for one in path.rglob("*") if one.is_file()]


def test_allowed_and_denied_paths(host, tree, target):
    (host.reached / "private").mkdir()
    (host.reached / "private" / "x").write_text("x")
    host.force(block=f"allow: ['{host.reached}', '~/in']\ndeny: '{host.reached}/private'")
    (host.escp.home / "in").mkdir()
    host.escp.copy("-r", tree, f"box:{host.reached}")
    host.escp.copy(tree / "00", "box:in/")  # without restrict, paths begin at home
    done = host.escp.fail(16, tree / "00", "box:")
    assert "out of bounds here: allow in " in done.error and "line 2 forbids it" in done.error
    host.escp.fail(16, tree / "00", f"box:{host.reached}/private/y")
    host.escp.fail(16, tree / "00", f"box:{host.outside}/y")
    done = host.escp.run("-r", f"box:{host.reached}", target)
    assert done.code == 1 and not (target / "reached" / "private" / "x").exists()
    assert host.escp.run("-r", "--delete", f"{tree}/.", f"box:{host.reached}").code == 0
    assert (host.reached / "private" / "x").read_text() == "x"


@pytest.mark.parametrize("is_word", [False, True])
def test_read_only_and_write_only(host, tree, target, is_word):
    (host.reached / "a").write_text("a")
    words = ["--restrict", str(host.reached)]
    host.force(
        *words, *(["--read-only"] if is_word else []), block="read-only: true" if not is_word else None
    )
    host.escp.copy("box:a", target)
    for more in ([], ["-n"], ["--mkpath"]):
        done = host.escp.fail(16, *more, "-r", tree, "box:")
        assert "nothing may be written here" in done.error and "read-only" in done.error
    done = host.escp.fail(16, "--remove-source-files", "box:a", target / "b")
    assert "--remove-source-files" in done.error
    assert os.listdir(host.reached) == ["a"]
    host.force(
        *words, *(["--write-only"] if is_word else []), block="write-only: true" if not is_word else None
    )
    host.escp.copy("-r", tree, "box:")
    done = host.escp.fail(16, "box:a", target / "c")
    assert "nothing may be read here" in done.error and "write-only" in done.error
    assert sorted(os.listdir(target)) == ["a"]


@pytest.mark.parametrize("options", [["--checksum"], ["-n", "--itemize"], ["-n", "--checksum"]], ids=" ".join)
def test_write_only_tells_no_digests_of_what_is_there(host, source, options):
    """Of something short a digest is as good as the contents: whoever gets it tries all that it may be."""
    (source / "pin").write_text("0000")
    (host.reached / "pin").write_text("4711")
    host.force("--restrict", str(host.reached), block="write-only: true")
    done = host.escp.fail(16, *options, source / "pin", "box:")
    assert "nothing may be read here, and digests tell contents" in done.error and "--" in done.error
    assert (host.reached / "pin").read_text() == "4711"
    host.escp.copy("--itemize", source / "pin", "box:")
    assert (host.reached / "pin").read_text() == "0000"


def test_write_only_does_not_tell_whether_contents_are_those_that_come(host, source):
    """Who may make further names of a file could try each of them, and lose none."""
    (source / "pin").write_text("4711")
    (host.reached / "pin").write_text("4711")
    host.force("--restrict", str(host.reached))
    assert "attributes" in host.escp.copy("--itemize", source / "pin", "box:").out
    host.force("--restrict", str(host.reached), "--write-only")
    assert "contents" in host.escp.copy("--itemize", source / "pin", "box:").out


def test_a_broken_block_serves_nobody(host, tree):
    host.force(block="alow: /data")
    done = host.escp.fail(2, tree / "00", "box:")
    assert f"{host.config}, line 2: there is no key 'alow'" in done.error
    assert "did you mean 'allow'" in done.hint
    host.force(block="log-files: true")
    assert (
        "line 2: 'log-files' belongs beside 'server:', not into it"
        in host.escp.fail(2, tree / "00", "box:").error
    )
    host.config.write_text("server: [\n")
    host.force(reads_file=True)
    assert str(host.config) in host.escp.fail(2, tree / "00", "box:").error
    assert not files_in(host.escp.home)


def test_a_users_own_block_serves_nobody(host, tree):
    (host.escp.home / "conf").write_text("server:\n  allow: /\n")
    (host.escp.home / "conf").chmod(0o600)
    host.force(block=f"allow: {host.reached}")
    script = host.escp.folder / "forced"
    script.write_text(
        script.read_text().replace("exec ", f"export ESCP_CONFIG='{host.escp.home}/conf'\nexec ")
    )
    assert "counts in" in host.escp.fail(2, tree / "00", f"box:{host.reached}").error


@pytest.mark.parametrize("way", ["push", "pull"])
@pytest.mark.parametrize(
    ("key", "n_there"),
    [("max-files: 10", 10), ("max-bytes: 1500", 20), ("max-bytes: 0", 1), ("max-files: 0", 0)],
)
def test_ceilings_of_files_and_bytes(host, tree, target, way, key, n_there):
    (tree / "large").write_bytes(bytes(300_000))
    if way == "pull":
        os.rename(tree, host.reached / "source")
    host.force(f"--restrict={host.reached}", block=key)
    words = [tree, "box:"] if way == "push" else ["box:source", target]
    done = host.escp.fail(16, "-r", *words)
    assert (
        f"this is more than {key.partition(':')[0]} in {host.config}, line 2 lets a session have"
        in done.error
    )
    there = files_in(host.reached if way == "push" else target)
    assert len(there) <= n_there
    # The large file may be among the first ten.
    assert key.startswith("max-files") or sum(one.stat().st_size for one in there) <= 1500


@pytest.mark.parametrize("kind", ["links", "directories", "hard links"])
def test_what_is_no_file_counts_too(host, source, kind):
    for number in range(12):
        if kind == "links":
            (source / f"{number}").symlink_to("x")
        elif kind == "directories":
            (source / f"{number}").mkdir()
        elif number:
            (source / f"{number}").hardlink_to(source / "0")
        else:
            (source / "0").write_text("x")
    host.force(f"--restrict={host.reached}", block="max-files: 5")
    host.escp.fail(16, "-r", "--links", "--hard-links", f"{source}/.", "box:")
    assert len(os.listdir(host.reached)) <= 5


def test_ceiling_of_deletions(host, tree, target, folder):
    host.force(f"--restrict={host.reached}", block="max-delete: 3")
    host.escp.copy("-r", tree, "box:")
    before = list_tree(host.reached)
    for number in range(4):
        (tree / f"{number:02}").unlink()
    done = host.escp.fail(16, "-r", "--delete", tree, "box:")
    assert "nothing was deleted: 4 names" in done.error and "max-delete in" in done.error
    assert done.hint == "look at them with --dry-run; if they may go, ask the administrator of that host"
    assert host.escp.copy("-n", "-r", "--delete", tree, "box:").out.count("deleting ") == 4
    assert list_tree(host.reached) == before
    (tree / "03").write_text("3" * 100)
    host.escp.copy("-r", "--delete", tree, "box:")
    assert len(files_in(host.reached)) == 17
    done = host.escp.fail(16, "-r", "--remove-source-files", "box:source", target)
    assert len(files_in(host.reached)) >= 14


@needs_root
def test_owner_and_devices(host, source):
    (source / "a").write_text("a")
    os.chown(source / "a", 12345, 12345)
    os.mkfifo(source / "pipe")
    host.force(f"--restrict={host.reached}", block="owner: false\ndevices: false")
    done = host.escp.fail(16, "-r", "--owner", source, "box:")
    assert "option --owner: owners are not taken: owner in" in done.error
    assert "option --devices" in host.escp.fail(16, "-r", "--devices", source, "box:").error
    (source / "pipe").unlink()
    host.escp.copy("-a", source, "box:")
    assert (host.reached / "source" / "a").stat().st_uid == 0


def test_ports_are_the_hosts(host, tree):
    first = host.escp.port
    host.force(f"--restrict={host.reached}", block=f"escp-port: {first + 5}\nescp-portrange: 2")
    done = host.escp.copy("--json", tree / "00", "box:")
    assert f":{first + 5}" in done.json[0]["address"]


def test_ports_that_were_not_asked_for_are_told_with_how_to_ask(host, tree):
    """Nothing connects to them: the data goes through ssh, and where that is not wanted the copy ends."""
    wanted = host.escp.port + 5
    host.force(f"--restrict={host.reached}", block=f"escp-port: {wanted}\nescp-portrange: 2")
    done = host.escp.copy("--escp_portrange", "3", tree / "00", "box:")
    told = f"names port {wanted}, but was asked for one of {wanted - 5}-{wanted - 2}"
    assert told in done.err and f"ask for it: --escp_port {wanted}" in done.err and "through ssh" in done.err
    done = host.escp.fail(13, "--tunnel=never", "--escp_portrange", "3", tree / "01", "box:")
    assert told in done.error and f"ask for it: --escp_port {wanted}" in done.hint
    assert not (host.reached / "01").exists()
    done = host.escp.copy("--escp_port", str(wanted), "--escp_portrange", "2", tree / "00", "box:")
    assert "through ssh" not in done.err


@pytest.mark.parametrize("more", [[], ["--tunnel", "always"]])
@pytest.mark.parametrize("way", ["push", "pull"])
def test_limit(host, source, target, way, more):
    write_random(source / "large", 6_000_000)
    write_random(host.reached / "there", 6_000_000)
    host.force(f"--restrict={host.reached}", block="limit: 2MB")
    start_s = time.monotonic()
    host.escp.copy(*more, *([source / "large", "box:"] if way == "push" else ["box:there", target]))
    assert time.monotonic() - start_s > 2


def test_time_of_a_program_that_stays_logged_in(host, source):
    """It is the login's, whatever goes over it."""
    (source / "a").write_text("a")
    host.force(f"--restrict={host.reached}", block="max-time: 3s")
    with library.connect("box", **login(host.escp)) as far:
        assert far.put(source / "a").ok
        wait_for(lambda: far._connection._error is not None)
        with pytest.raises(errors.RefusedError, match="the time is over that max-time"):
            far.put(source / "a", "b")
    assert os.listdir(host.reached) == ["a"]


def test_time(host, source):
    write_random(source / "large", 30_000_000)
    host.force(f"--restrict={host.reached}", block="limit: 1MB\nmax-time: 2s")
    done = host.escp.fail(16, source / "large", "box:")
    assert "the time is over that max-time in" in done.error
    assert done.hint.startswith("copy less at a time") and done.hint.count("--resume") <= 1


def test_audit_of_what_was_done_and_of_what_was_refused(host, tree, folder):
    host.force("--restrict", host.reached, "--logfile", folder / "audit", block="max-files: 100")
    host.escp.copy("-r", tree, "box:")
    host.escp.copy("box:source/00", folder / "back")
    host.escp.fail(16, tree / "00", f"box:{host.outside}/x")
    lines = [line for line in (folder / "audit").read_text().splitlines() if " session " in line]
    assert 'role="receiver" sources=[] sources_total=- target="" options=["is_directory",' in lines[0]
    assert ' user="' in lines[0] and 'host="127.0.0.1"' in lines[0] and 'local_host="' in lines[0]
    assert " files=20 " in lines[0] and lines[0].endswith(' ok=yes exit_code=0 message=""')
    assert any('role="sender" sources=["source/00"]' in line for line in lines)
    assert f'target="{host.outside}/x"' in lines[-1] and " ok=no exit_code=16 " in lines[-1]
    assert "out of bounds" in lines[-1]
    host.force("--restrict", host.reached, "--logfile", folder / "no" / "audit")
    assert "cannot open the log file" in host.escp.fail(15, tree / "00", "box:").error
