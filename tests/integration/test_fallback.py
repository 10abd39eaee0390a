"""--fallback scp, where the other host has no escp."""

import os
import stat
from collections.abc import Iterator

import pytest

from tests.support.command import remote
from tests.support.folders import new_folder
from tests.support.schema import check_lines
from tests.support.sshd import Sshd
from tests.support.trees import list_tree, make_tree, write_random


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    """One with what scp talks to."""
    with new_folder("escp-sshd-") as folder, Sshd(folder, settings="Subsystem sftp internal-sftp") as server:
        yield server


@pytest.fixture
def missing(escp):
    return escp.write_agent("missing", command="exec /nowhere/escp")


def copy(escp, missing, *more, code=0, **start):
    done = escp.run("--fallback", "scp", *more, agent=missing, has_ports=False, **start)
    assert done.code == code, done.err
    return done


def test_scp_copies_where_there_is_no_escp(escp, source, target, missing):
    write_random(source / "a b", 100_000)
    (source / "a b").chmod(0o640)
    done = copy(escp, missing, "-p", source / "a b", remote(target))
    assert "escp: warning: there is no escp on box: scp copies in its place" in done.err
    assert (target / "a b").read_bytes() == (source / "a b").read_bytes()
    assert stat.S_IMODE((target / "a b").stat().st_mode) == 0o640
    assert (target / "a b").stat().st_mtime == int((source / "a b").stat().st_mtime)
    copy(escp, missing, "-l", "100M", "-C", remote(source / "a?b"), target / "back")
    assert (target / "back").read_bytes() == (source / "a b").read_bytes()


def test_scp_copies_trees_and_between_hosts(escp, source, target, missing):
    make_tree(source)
    copy(escp, missing, "-r", remote(source), target / "pulled")
    assert list_tree(target / "pulled").keys() == list_tree(source).keys()
    (source / "single").write_text("x")
    copy(escp, missing, remote(source / "single"), remote(target / "relayed"))
    assert (target / "relayed").read_text() == "x"


def test_exit_status_is_that_of_scp(escp, target, missing, folder):
    told = ("--metrics", folder / "m", "--notify", f'echo "$ESCP_RESULT_EXIT_CODE" > {folder}/n')
    done = copy(escp, missing, *told, remote("/nowhere/at/all"), target, code=1)
    assert "No such file" in done.err
    assert 'exit_code{job="m"} 1' in (folder / "m").read_text() and (folder / "n").read_text() == "1\n"


@pytest.mark.parametrize("code", [0, 1])
def test_programs_hear_who_copied_and_how_it_ended(escp, source, target, missing, folder, code):
    (source / "a").write_text("x")
    reader, writer = os.pipe()
    words = (f"--json-fd={writer}", "--log-files", "--logfile", folder / "log", source / "a")
    words = (*words, remote(target / "b" if code == 0 else "/nowhere/at/all"))
    done = copy(escp, missing, *words, code=code, pass_fds=(writer,))
    os.close(writer)
    assert done.err.count("scp copies in its place") == 1 and "no log lists its files" in done.err
    warning, result = check_lines(os.fdopen(reader).read())
    assert warning["type"] == "warning" and "scp copies in its place" in warning["message"]
    assert (result["program"], result["ok"], result["exit_code"]) == ("scp", code == 0, code)
    error = "scp, which copied in escp's place, ended with exit status 1"
    assert code == 0 or result["error"]["message"] == error
    (session,) = [line for line in (folder / "log").read_text().splitlines() if "] session " in line]
    assert f"exit_code={code} " in session and "scp" in session and 'host="box"' in session


def test_json_on_standard_output_is_not_mixed_with_the_meter(escp, source, target, missing):
    write_random(source / "a", 100_000)
    for option in ("--json", "--json-fd=1", "-q"):
        done = copy(escp, missing, option, source / "a", remote(target / option))
        assert (target / option).stat().st_size == 100_000
        assert done.out == "" if option == "-q" else check_lines(done.out)[-1]["program"] == "scp"


def test_stop_after_ends_scp(escp, source, target, missing):
    write_random(source / "a", 1_000_000)
    done = copy(
        escp, missing, "--stop-after", "3s", "-l", "100k", source / "a", remote(target / "b"), code=17
    )
    assert "--stop-after" in done.error
    words = ("--json", "--stop-after", "3s", "-l", "100k", source / "a", remote(target / "b"))
    assert check_lines(copy(escp, missing, *words, code=17).out)[-1]["program"] == "scp"


@pytest.mark.parametrize(
    ("more", "name"),
    [
        (["--exclude", "x"], "--exclude"), (["--links"], "--links"),
        (["-n"], "--dry-run"), (["--update", "--sparse"], "--update, --sparse"), (["-a"], "--archive"),
    ],
)  # fmt: skip
def test_what_scp_lacks_is_refused_by_name(escp, source, target, missing, more, name):
    (source / "a").write_text("x")
    done = escp.run("--fallback=scp", *more, source / "a", remote(target / "b"), agent=missing)
    assert done.code == 11 and not (target / "b").exists()
    assert f"and scp, which is to copy in its place, has no {name}" in done.err + done.out


def test_error_offers_scp_and_nothing_else_happens(escp, source, target, missing):
    (source / "a").write_text("x")
    done = escp.fail(11, source / "a", remote(target / "b"), agent=missing)
    assert done.error == "there is no escp on box" and "--fallback scp" in done.hint
    assert not (target / "b").exists()


def test_login_that_fails_is_no_missing_escp(escp, source, missing):
    (source / "a").write_text("x")
    done = escp.fail(10, "--fallback=scp", "-P", "1", source / "a", remote("b"), agent=missing)
    assert "scp copies" not in done.err


def test_scp_that_is_escp_is_passed_over(escp, source, folder, missing):
    """A link of that name would start escp again, and so on."""
    (source / "a").write_text("x")
    tools = folder / "tools"
    tools.mkdir()
    (folder / "escp").write_text("#!/bin/sh\nexit 99\n")
    (folder / "escp").chmod(0o755)
    (tools / "scp").symlink_to(folder / "escp")
    (tools / "ssh").symlink_to("/usr/bin/ssh")
    done = escp.fail(11, "--fallback=scp", source / "a", remote("b"), agent=missing, env={"PATH": str(tools)})
    assert "there is no scp here" in done.error
