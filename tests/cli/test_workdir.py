"""A working directory that was removed, and a home directory that may not be entered."""

import os
import subprocess
import sys

import pytest

from tests.support.folders import new_folder
from tests.support.nobody import AS_NOBODY, NOBODY, ROOT, needs_nobody

START = "import os, sys; os.rmdir(os.getcwd()); sys.argv[0] = 'escp'\nfrom escp.__main__ import run; run()"


@pytest.fixture
def run(tmp_path):
    """Runs escp in a directory that is removed before anything else."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_text("hello")
    (tmp_path / "target").mkdir()

    def start(*words, stdin=""):
        gone = tmp_path / "gone"
        gone.mkdir()
        return subprocess.run(
            [sys.executable, "-c", START, *map(str, words)], cwd=gone, input=stdin, capture_output=True,
            text=True, timeout=60, env={**os.environ, "ESCP_CONFIG": "", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    return start


@pytest.mark.parametrize(
    "words", [("{}/source/a",), ("../source/a",), ("-r", "{}/source/."), ("-r", "../source/.")]
)
@pytest.mark.parametrize("options", [(), ("--resume",), ("-p", "--metrics", "{}/m", "--manifest", "{}/n")])
def test_what_needs_no_working_directory_works(run, tmp_path, words, options):
    done = run(*(word.format(tmp_path) for word in (*options, *words)), tmp_path / "target")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "a").read_text() == "hello"


def test_a_list_and_a_deletion_work_there(run, tmp_path):
    done = run("--filelist", "-", "../target", stdin="../source/a\n")
    assert done.returncode == 0 and (tmp_path / "target" / "a").exists(), done.stderr
    (tmp_path / "target" / "more").touch()
    done = run("-rT", "--delete", "../source", "../target")
    assert done.returncode == 0 and os.listdir(tmp_path / "target") == ["a"], done.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("{}/source/a", "."), 14),
        (("{}/source/a", "b"), 14),
        (("a", "{}/target"), 1),
        (("-r", ".", "{}/target"), 1),
        (("--manifest", "m", "{}/source/a", "{}/target"), 14),
        (("--metrics", "m", "{}/source/a", "{}/target"), 14),
        (("--logfile", "m", "{}/source/a", "{}/target"), 14),
        (("--check", "m", "{}/target"), 14),
    ],
)
def test_what_needs_one_is_told_in_a_sentence(run, tmp_path, words, status):
    done = run(*(word.format(tmp_path) for word in words))
    assert done.returncode == status and "Traceback" not in done.stderr
    assert done.stderr.startswith("escp: error: ") and "bug" not in done.stderr


@pytest.fixture
def home():
    with new_folder(mode=0o755) as folder:
        (folder / "a").write_text("hello")
        (folder / "target").mkdir()
        (folder / "home" / ".config").mkdir(parents=True)
        (folder / "home" / ".config" / "escp.conf").write_text("parallel: 2\n")
        for path in (folder / "target", *folder.glob("home/**/*")):
            os.chown(path, NOBODY, NOBODY)
        yield folder / "home"


def run_at(home, *words):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ESCP_", "XDG_"))}
    return subprocess.run(
        [*AS_NOBODY, sys.executable, "-m", "escp", *map(str, words)], cwd=ROOT,
        env={**kept, "HOME": str(home)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@needs_nobody
def test_home_that_may_not_be_entered_does_not_end_a_copy(home):
    """HOME of another account, as `su` and cron leave it. ssh and git go on there, too."""
    home.chmod(0)
    target = home.parent / "target"
    done = run_at(home, home.parent / "a", target)
    assert done.returncode == 0 and (target / "a").exists(), done.stderr
    path = f"{home}/.config/escp.conf"
    said = f"escp: warning: the configuration {path} can't be reached: what it may say does not count\n"
    assert done.stderr.startswith(said)
    assert f"{path}: can't be reached" in run_at(home, "--check-config").stdout
    home.chmod(0o755)
    assert f"{path}: 1 setting" in run_at(home, "--check-config").stdout


@needs_nobody
@pytest.mark.parametrize(
    ("mode", "owner", "said"),
    [(0, NOBODY, "can't read"), (0o644, 4242, "another user"), (0o666, NOBODY, "others may write")],
)
def test_file_that_is_there_and_not_to_be_trusted_ends_it(home, mode, owner, said):
    path = home / ".config" / "escp.conf"
    os.chown(path, owner, owner)
    path.chmod(mode)
    done = run_at(home, home.parent / "a", home.parent / "target")
    assert done.returncode == 2 and said in done.stderr and "escp: hint: " in done.stderr
    assert os.listdir(home.parent / "target") == []
