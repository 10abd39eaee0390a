"""--show-config and --check-config."""

import os
import subprocess
import sys

import pytest

from tests.support.schema import check_lines

FILE = """\
parallel: 8
relay: false
exclude: ["*.tmp", b]
hosts:
  "dtn*":
    limit: 10G
    parallel: 16
  other:
    limit: 1G
"""


@pytest.fixture
def run(tmp_path):
    file = tmp_path / "escp.conf"
    file.write_text(FILE)
    file.chmod(0o600)

    def start(*words, **environ):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ESCP_")}
        return subprocess.run(
            [sys.executable, "-m", "escp", *words], env={**kept, "ESCP_CONFIG": str(file), **environ},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    start.file = file
    return start


def read(done):
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        setting, _, origin = line.partition(" # ")
        name, _, value = setting.partition(": ")
        found[name] = (value.strip(), origin)
    return found


def test_value_and_place_of_each_key(run):
    found = read(run("--show-config", "-r", "--exclude", "c", ESCP_COMPRESS="1"))
    file = str(run.file)
    assert found["parallel"] == ("8", f"{file}, line 1")
    assert found["compress"] == ("true", "environment, ESCP_COMPRESS")
    assert found["recursive"] == ("true", "command line")
    assert found["exclude"] == ("[c, '*.tmp', b]", f"{file}, line 3, command line")
    assert found["relay"] == ("false", f"{file}, line 2") and found["direct"][0] == "true"
    assert found["blocksize"] == ("auto", "default") and found["limit"] == ("null", "default")


@pytest.mark.parametrize("word", ["dtn2", "me@dtn2", "dtn2:"])
def test_blocks_of_a_host_count_for_it(run, word):
    found = read(run("--show-config", word))
    assert found["limit"] == ("10G", f"{run.file}, line 6") and found["parallel"][0] == "16"


def test_json(run):
    lines = check_lines(run("--json", "--show-config", "other").stdout)
    found = {line["name"]: line for line in lines[:-1]}
    assert found["limit"]["value"] == "1G" and found["exclude"]["value"] == ["*.tmp", "b"]
    assert found["compress"]["value"] is False and found["compress"]["origin"] == "default"


def test_more_than_one_host(run):
    done = run("--show-config", "a", "b")
    assert done.returncode == 2 and "name one host" in done.stderr


def test_files_in_order(run):
    done = run("--check-config")
    assert done.returncode == 0 and f"{run.file}: 6 settings\n" in done.stdout, done


def test_all_places_are_looked_at(run):
    run.file.write_text("limit: 3x\nblocksize: 1\n")
    done = run("--check-config", ESCP_PARALLEL="1000")
    assert done.returncode == 2
    for what in (f"{run.file}, line 1, limit", f"{run.file}, line 2, blocksize", "ESCP_PARALLEL"):
        assert what in done.stderr, done.stderr
    assert f"{run.file}: wrong" in done.stdout and "environment: wrong" in done.stdout
    lines = check_lines(run("--json", "--check-config").stdout)
    assert lines[-1]["exit_code"] == 2 and any(line["type"] == "warning" for line in lines)


def test_all_mistakes_of_a_file_are_told(run):
    run.file.write_text(
        "parallel: 99\nnothing: 1\nhosts:\n  a:\n    escp-port: 70000\n    none: 2\n    compress: 7\n"
    )
    done = run("--check-config")
    assert done.returncode == 2
    for n_line, what in (1, "99"), (2, "nothing"), (5, "70000"), (6, "none"), (7, "compress"):
        assert any(f"line {n_line}" in line and what in line for line in done.stderr.splitlines()), (
            done.stderr
        )
