"""--itemize: what was copied, or would be, and why."""

import json
import os

import pytest

import escp as library
from tests.support.command import needs_root, remote
from tests.support.directions import LOCAL, PULL, PUSH, in_all_directions
from tests.support.trees import write_random

OLD_NS = 1_600_000_000_123_456_789


@pytest.fixture
def trees(source, target):
    """One of each reason."""
    top = target / "source"
    (source / "d").mkdir()
    (top / "new").mkdir(parents=True)
    os.rmdir(top / "new")
    for name in ("missing", "type", "longer", "edited", "touched", "d/in"):
        (source / name).write_text(name)
    (source / "longer").write_text("more than was there")
    write_random(source / "large", 1_500_000)
    (source / "empty").mkdir()
    (top / "type").symlink_to("nowhere")
    for name in ("longer", "touched", "old"):
        (top / name).write_text(name)
    (top / "edited").write_text("EDITED")
    (top / "large").write_text("x")
    os.utime(top / "touched", ns=(OLD_NS, OLD_NS))
    return source, target


FILES = {
    "missing": ("missing", 7),
    "type": ("type", 4),
    "longer": ("contents", 19),
    "edited": ("contents", 6),
    "touched": ("attributes", 7),
    "d/in": ("missing", 4),
    "large": ("contents", 1_500_000),
    "d/": ("missing", None),
    "empty/": ("missing", None),
}


def read(out, top):
    """reason, size of each name."""
    found = {}
    for line in out.splitlines():
        reason, size, name = line[:10].rstrip(), line[10:26].strip(), line[28:]
        assert name.startswith(f"{top}/") and name not in found, line
        found[name.removeprefix(f"{top}/")] = (reason, None if size == "-" else int(size.replace(",", "")))
    return found


@in_all_directions
@pytest.mark.parametrize("words", [(), ("-p", "--skip-unchanged")], ids=["all", "changed"])
def test_each_name_and_its_reason(escp, trees, way, words):
    source, target = trees
    top = target / "source"
    command = ("-r", "--itemize", *words, way.source(source), way.target(target))
    listed = read(escp.copy("-n", *command).out, top)
    assert listed == FILES
    assert (top / "edited").read_text() == "EDITED"
    assert read(escp.copy(*command).out, top) == FILES
    again = read(escp.copy(*command).out, top)
    assert again == ({} if words else {  # all is copied, and nothing differs but what is not compared
        name: ("contents" if name == "large" else "attributes", size)
        for name, (_, size) in FILES.items() if size is not None
    })  # fmt: skip


@in_all_directions
def test_with_digests(escp, trees, way):
    source, target = trees
    command = ("-r", "--itemize", "--checksum", way.source(source), way.target(target))
    expected = {name: what for name, what in FILES.items() if name != "touched"}
    assert read(escp.copy("-n", *command).out, target / "source") == expected
    assert read(escp.copy(*command).out, target / "source") == expected


@in_all_directions
def test_what_only_the_target_has(escp, trees, way):
    source, target = trees
    command = ("-r", "--itemize", "--delete", way.source(source), way.target(target))
    expected = FILES | {"old": ("only there", None)}
    assert read(escp.copy("-n", *command).out, target / "source") == expected
    assert read(escp.copy(*command).out, target / "source") == expected


LINKS = {
    "same": ("attributes", None),
    "other": ("contents", None),
    "over-file": ("type", None),
    "over-dangling": ("contents", None),
    "fresh": ("missing", None),
    "file-over-link": ("type", 6),  # as long as the link's text, and the same
    "pair-1": ("missing", 3),
    "pair-2": ("missing", 3),
    "edited-1": ("contents", 6),
    "edited-2": ("contents", 6),
    "longer-1": ("contents", 4),
    "longer-2": ("contents", 4),
}


@in_all_directions
def test_links_and_further_names(escp, source, target, way):
    """The dry run says the same, and so does a second copy of all that is the same then."""
    top = target / "source"
    top.mkdir()
    to_a = ("same", "over-file", "over-dangling", "fresh")
    for name, text in {**dict.fromkeys(to_a, "a"), "other": "b"}.items():
        (source / name).symlink_to(text)
    old = {"same": "a", "other": "x", "over-dangling": "nowhere", "file-over-link": "is one"}
    for name, text in old.items():
        (top / name).symlink_to(text)
    (top / "over-file").write_text("a")
    (source / "file-over-link").write_text("is one")
    contents = {"pair": ("abc", ""), "edited": ("edited", "EDITED"), "longer": ("four", "ten")}
    for name, (text, before) in contents.items():
        (source / f"{name}-1").write_text(text)
        os.link(source / f"{name}-1", source / f"{name}-2")
        if before:
            (top / f"{name}-1").write_text(before)
            os.link(top / f"{name}-1", top / f"{name}-2")
    command = ("-a", "--itemize", way.source(source), way.target(target))
    assert read(escp.copy("-n", *command).out, top) == LINKS
    assert read(escp.copy(*command).out, top) == LINKS
    same = {name: ("attributes", size) for name, (_, size) in LINKS.items()}
    assert read(escp.copy("-n", *command).out, top) == same
    assert read(escp.copy(*command).out, top) == same
    assert os.path.samefile(top / "edited-1", top / "edited-2")


@needs_root
@in_all_directions
def test_devices_and_pipes(escp, source, target, way):
    top = target / "source"
    top.mkdir()
    for name in ("new", "over-pipe", "over-file"):
        os.mkfifo(source / name)
    os.mkfifo(top / "over-pipe")
    (top / "over-file").write_text("")
    command = ("-r", "--devices", "--itemize", way.source(source), way.target(target))
    wanted = {"new": ("missing", None), "over-pipe": ("attributes", None), "over-file": ("type", None)}
    assert read(escp.copy("-n", *command).out, top) == wanted
    assert read(escp.copy(*command).out, top) == wanted


@pytest.mark.parametrize("way", [PUSH, LOCAL, PULL], ids=lambda way: way.name)
def test_one_file_under_a_new_name(escp, source, target, way):
    (source / "a").write_text("abc")
    command = ("--itemize", way.source(source / "a"), way.target(target / "b"))
    assert read(escp.copy("-n", *command).out, target) == {"b": ("missing", 3)}
    assert read(escp.copy(*command).out, target) == {"b": ("missing", 3)}
    assert read(escp.copy(*command).out, target) == {"b": ("attributes", 3)}


def test_json_and_log(escp, trees, tmp_path):
    source, target = trees
    log = tmp_path / "log"
    done = escp.copy("--json", "--itemize", "--logfile", log, "-r", source, remote(target))
    items = [line for line in map(json.loads, done.out.splitlines()) if line["type"] == "item"]
    assert len(items) == len(FILES) and log.read_text().count(" item path=") == len(FILES)
    (one,) = [item for item in items if item["path"].endswith("/large")]
    assert (one["reason"], one["kind"], one["bytes"], one["dry_run"]) == (
        "contents",
        "file",
        1_500_000,
        False,
    )


def test_what_fails_is_no_item(escp, source, target):
    (source / "a").write_text("x")
    (target / "source" / "a").mkdir(parents=True)
    done = escp.run("-r", "--itemize", source, target)
    assert done.code == 1 and done.out == "", done.out


def test_without_it_nothing_is_listed(escp, trees):
    source, target = trees
    assert escp.copy("-r", source, target).out == ""


@in_all_directions
def test_log_files_names_each_with_size_digest_and_result(escp, source, target, folder, way):
    (source / "a").write_bytes(b"a" * 1000)
    (source / "large").write_bytes(bytes(range(256)) * 4000)
    (source / "link").symlink_to("a")
    (source / "bad").write_text("b")
    (target / "source" / "bad").mkdir(parents=True)
    log = folder / "log"
    done = escp.run("-r", "--links", "--logfile", log, "--log-files", way.source(source), way.target(target))
    assert done.code == 1 and "missing" not in done.out  # nothing more is listed
    lines = [line.split("] ", 1)[1] for line in log.read_text().splitlines()]
    found = {line.split('"')[1].rpartition("/")[2]: line for line in lines if line.startswith("file ")}
    assert set(found) - {"source", ""} == {"a", "large", "link"}
    for name in ("a", "large"):
        size = (source / name).stat().st_size
        digest = library.digest(source / name).hex()
        assert found[name].endswith(f' kind="file" bytes={size} digest="{digest}" ok=yes'), found[name]
    assert 'kind="link"' in found["link"] and "digest=-" in found["link"]
    assert any(line.startswith("error ") and "bad" in line for line in lines)
    escp.copy("--logfile", log, "--log-files", way.source(source / "a"), way.target(target / "one"))
    assert any(line.endswith("ok=yes") and '/one"' in line for line in log.read_text().splitlines())
