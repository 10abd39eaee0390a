"""Every line of `--json` is as docs/json.schema.json says, in real runs of each kind."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.support.command import remote
from tests.support.directions import in_all_directions
from tests.support.schema import SCHEMA, check_lines, find_faults
from tests.support.trees import write_random


def of_kind(lines, kind):
    return [line for line in lines if line["type"] == kind]


@in_all_directions
def test_copy(escp, source, target, way):
    write_random(source / "large", 1_000_000)
    (source / "small").write_text("x")
    os.mkfifo(source / "pipe")
    top = target / "source"
    top.mkdir()
    begun = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    words = (way.source(source), way.target(target))
    done = escp.run("--json", "-r", "--itemize", *words)
    assert done.code == 1
    lines = check_lines(done.out)
    assert begun <= lines[0]["time"] <= lines[-1]["time"]
    (start,) = of_kind(lines, "start")
    assert (start["sources"], start["sources_total"], start["target"]) == (
        [os.fsdecode(words[0])],
        1,
        os.fsdecode(words[1]),
    )
    (error,) = of_kind(lines, "error")
    assert error["errno"] is None and error["retryable"] is False
    assert {item["path"] for item in of_kind(lines, "item")} == {f"{top}/large", f"{top}/small"}
    result = lines[-1]
    phases = [result[f"{name}_seconds"] for name in ("login", "setup", "transfer", "end")]
    assert sum(phases) == pytest.approx(result["seconds"], abs=0.05)
    assert (phases[0] > 0.05) == (way.name != "local") and result["data_seconds"] <= phases[2] + 0.05


def test_dry_run_and_deletion(escp, source, target):
    (source / "a").write_text("x")
    (target / "source").mkdir()
    (target / "source" / "old").write_text("x")
    for words in (("-n",), ("-n", "--itemize"), ()):
        lines = check_lines(escp.copy("--json", "-r", "--delete", *words, source, remote(target)).out)
        (gone,) = of_kind(lines, "deleted")
        assert gone["dry_run"] is bool(words) and lines[-1]["deleted"] == 1


def test_name_that_is_no_utf8(escp, source, target):
    (source / os.fsdecode(b"\xff")).mkdir()
    lines = check_lines(escp.copy("--json", "-n", "-r", source, target).out)
    assert any(line.get("path_hex", "").endswith("ff2f") for line in lines)


def test_error_of_one_file_names_the_systems_error(escp, source, target):
    (source / "a").write_text("x")
    (target / "source" / "a").mkdir(parents=True)
    done = escp.run("--json", "-r", source, remote(target))
    (error,) = of_kind(check_lines(done.out), "error")
    assert (error["errno"], error["retryable"]) == ("EISDIR", False)


@pytest.mark.parametrize("words, code", [
    (("--nonsense",), 2), (("a",), 2), (("/nowhere", "."), 1),
])  # fmt: skip
def test_failures(escp, words, code):
    done = escp.run("--json", *words)
    result = check_lines(done.out)[-1]
    assert done.code == result["exit_code"] == code and result["error"]["message"]


@pytest.mark.parametrize("value", ["1", "true", "yes", "TRUE", "On"])
def test_bad_usage_where_the_environment_asks_for_it(escp, value):
    done = escp.run("--nonsense", env={"ESCP_JSON": value})
    assert check_lines(done.out)[-1]["exit_code"] == done.code == 2 and done.err == ""


def test_failure_of_the_target_names_the_systems_error(escp, source):
    (source / "a").write_text("x")
    done = escp.run("--json", source / "a", "/nowhere/there/b")
    assert check_lines(done.out)[-1]["error"]["errno"] == "ENOENT"


@pytest.mark.parametrize("word", ["--version", "--help", "--licence"])
def test_pages(escp, word):
    page, result = check_lines(escp.copy("--json", word).out)
    assert page["name"] == word[2:] and page["text"] and result["ok"] is True
    names = [name for option in page["options"] for name in option["names"]]
    assert ("--json" in names) == (word == "--help")


def test_selftest_and_doctor(escp, folder):
    lines = check_lines(escp.run("--json", "--selftest", cwd=folder).out)
    assert of_kind(lines, "check")
    lines = check_lines(escp.run("--json", "--doctor", "box:").out)
    assert {line["scope"] for line in of_kind(lines, "finding")} == {"local", "remote", "route"}


def test_schema_is_strict_in_tests_and_refuses_what_is_wrong():
    good = {"type": "warning", "time": "2026-11-22T16:58:53.762Z", "message": "x"}
    assert find_faults(good, SCHEMA["$defs"]["warning"]) == []
    for wrong in ({"message": 1}, {"time": "now"}, {"type": "note"}, {"other": 1}):
        assert find_faults({**good, **wrong}, SCHEMA["$defs"]["warning"]), wrong
    assert find_faults({"type": "warning"}, SCHEMA["$defs"]["warning"])


def test_every_type_of_the_schema_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    for kind in SCHEMA["$defs"]:
        assert f"`{kind}`" in text or f"## {kind}" in text or f", {kind}\n" in text, kind
    assert json.dumps(SCHEMA).count("$ref") == len(SCHEMA["$defs"])
