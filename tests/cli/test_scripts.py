"""escp as scripts call it: pages, usage errors and exit codes, from source or as the frozen binary."""

import json
import os
import subprocess
import time

import pytest

from tests.support.command import COMMAND, ROOT, TIMEOUT_S, local


def call(*words, env=None, **settings):
    environment = dict(os.environ, PYTHONPATH=str(ROOT), **(env or {}))
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, env=environment,
                          timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL, **settings)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "part"),
    [(["-h"], "0       every file was copied"), (["--help"], "--blocksize"), (["-V"], "escp 0."),
     (["--version"], "escp "), (["-V", "-v"], "AES-128-GCM by"), (["-L"], "BSD")],
)  # fmt: skip
def test_pages_go_to_standard_output(words, part):
    done = call(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert part in done.stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "nothing to copy"),
        (["a"], "no target"),
        (["a", ""], "the target is empty"),
        (["--reverse", "host:a", "host:b"], "--reverse"),
        (["--no-such-option", "a", "h:"], "--no-such-option"),
        (["-t", "0", "a", "h:"], "--parallel"),
        (["-t", "65", "a", "h:"], "--parallel"),
        (["--blocksize", "100K", "a", "h:"], "--blocksize"),
        (["--ioengine", "magic", "a", "h:"], "magic"),
        (["-l", "fast", "a", "h:"], "fast"),
        (["--embedded", "a", "elsewhere:"], "elsewhere"),
        (["--logfile", "LOCAL9", "a", "h:"], "LOCAL9"),
        (["-P"], "-P"),
        (["/", "..", "h:"], ".."),
    ],
)
def test_usage_errors_exit_2_in_two_lines(words, part):
    begin_s = time.monotonic()
    done = call(*words)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("escp: error: ") and part in lines[0] and not lines[0].endswith(".")
    assert len(lines) <= 2 and all(line.startswith("escp: hint: ") for line in lines[1:])
    assert time.monotonic() - begin_s < 5


def test_usage_error_as_json():
    done = call("--json", "-t", "0", "a", "h:")
    assert (done.returncode, done.stderr) == (2, "")
    result = json.loads(done.stdout)
    assert (
        result["type"] == "result" and result["exit_code"] == 2 and "--parallel" in result["error"]["message"]
    )


def test_pages_into_a_closed_pipe():
    process = subprocess.Popen([*COMMAND, "-h"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(TIMEOUT_S) in (0, 141)  # as if SIGPIPE had ended it


def test_embedded_copy_in_a_script(source, target):
    (source / "a").write_bytes(b"contents")
    done = call("--embedded", "-q", source / "a", local(target))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (target / "a").read_bytes() == b"contents"


def test_program_in_another_place_and_without_home(source, target, folder):
    """No $HOME, no $PATH of the user's, another working directory: cron."""
    (source / "a").write_bytes(b"contents")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*COMMAND, "--embedded", "a", local(target)],
        env=env,
        cwd=source,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (target / "a").read_bytes() == b"contents"


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "no_such"])
def test_names_in_any_locale(escp, source, target, locale):
    name = "ünï \udcff"
    (source / name).write_bytes(b"contents")
    (source / "wrong\udcfe").symlink_to("nowhere")
    done = escp.run("-r", source, local(target), is_embedded=True, env={"LC_ALL": locale, "PYTHONUTF8": ""})
    assert done.code == 1 and "wrong" in done.err and "Traceback" not in done.err
    assert (target / "source" / name).read_bytes() == b"contents"


@pytest.mark.parametrize(("said", "code"), [(b"", 13), (b"GET / HTTP/1.1\r\n\r\n", 12), (bytes(100), 12)])
def test_agent_started_by_hand_says_who_it_is_and_ends_with_its_input(said, code):
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run([*COMMAND, "--server"], input=said, capture_output=True, timeout=TIMEOUT_S,
                          env=environment, check=False)  # fmt: skip
    assert done.returncode == code
    assert b"ESCP agent ready" in done.stdout and b'"type": "hello"' in done.stdout
    assert (b'"type": "error"' in done.stdout) == (code == 12)
    assert done.stderr == b""


def test_host_without_its_colon_is_pointed_out(source, target):
    """A file is made all the same, as with scp; only where nothing of that name was there."""
    (source / ".ssh").mkdir()
    (source / ".ssh" / "config").write_text("Host dtn4\n")
    (source / "a").write_bytes(b"contents")
    env = {"HOME": str(source)}
    done = call(source / "a", "dtn4", env=env, cwd=target)
    assert done.returncode == 0 and (target / "dtn4").read_bytes() == b"contents"
    assert done.stderr.startswith(
        "escp: warning: the target 'dtn4' is a file here: for the host of that name write dtn4:\n"
    )
    for words in (("a", "dtn4"), ("-q", "a", "dtn4"), ("a", "./dtn5"), ("a", "other")):
        done = call(*words[:-2], source / words[-2], words[-1], env=env, cwd=target)
        assert done.returncode == 0 and "warning" not in done.stderr
    done = call("dtn4", "x", env=env, cwd=source)
    assert done.returncode == 1 and "escp: hint: for the host of that name write dtn4:PATH" in done.stderr
