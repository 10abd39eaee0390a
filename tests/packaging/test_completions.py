"""The shells' completions, each asked in its own shell."""

import os
import pty
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from completions import SHELLS, build_completion

from escp.options.parser import build_parser

BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")
TIMEOUT_S = 20.0

# A line, and what it becomes by the only completion of its last word; the same where there is none.
CASES = {
    "escp --tun": "escp --tunnel",
    "escp -rp --tun": "escp -rp --tunnel",
    "escp --tunnel al": "escp --tunnel always",
    "escp --tunnel=al": "escp --tunnel=always",
    "escp --ioengine du": "escp --ioengine dummy",
    "escp -rpi ./my": "escp -rpi ./my file",
    "escp --logfile=./my": "escp --logfile=./my file",
    "escp -c aes128-cb": "escp -c aes128-cbc",
    "escp -J gatew": "escp -J gateway7",
    "escp gatew": "escp gateway7:",
    "escp somebody@gatew": "escp somebody@gateway7:",
    "escp ./my": "escp ./my file",
    "escp gateway7:my": "escp gateway7:my",
    "escp a gateway7:my": "escp a gateway7:my",
}
# What lies on gateway7, and a line with a path there; what it becomes, as escp is to read it.
FAR = ("data/run 42", "data/run43/in", "data/[x]", "data/it's", "other", ".hidden")
REMOTE_CASES = {
    "escp gateway7:oth": "escp gateway7:other",
    "escp a somebody@gateway7:oth": "escp a somebody@gateway7:other",
    "escp -rp gateway7:da": "escp -rp gateway7:data/",
    "escp gateway7:data/run43/": "escp gateway7:data/run43/in",
    "escp gateway7:data/run\\ ": "escp gateway7:data/run\\ 42",
    "escp gateway7:~/oth": "escp gateway7:~/other",
    "escp gateway7:{home}/far/oth": "escp gateway7:{home}/far/other",
    "escp gateway7:.hid": "escp gateway7:.hidden",
    "escp -P 2222 gateway7:oth": "escp -P 2222 gateway7:other",
    "escp gateway7:my": "escp gateway7:my",
    "escp nowhere:oth": "escp nowhere:oth",
}
# Stands for ssh, and for a login without a password only.
SSH = """#!/bin/sh
[ "$1" = -Q ] && exec {ssh} "$@"
printf '%s\\n' "$*" >>{home}/logins
case "$*" in *BatchMode=yes*) ;; *) exit 255 ;; esac
case "$*" in *gateway7*) ;; *) exit 255 ;; esac
case "$*" in *"ls "*) ;; *) exit 255 ;; esac
cd {home}/far && HOME={home}/far exec sh -c "ls ${{*#*ls }}"
"""
AFTER_AN_OPERAND = "escp a --tun"  # escp takes no options there


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home directory with a file to complete, a host that ssh knows, and the completions."""
    home = tmp_path_factory.mktemp("home")
    (home / "my file").touch()
    (home / ".ssh").mkdir()
    (home / ".ssh" / "config").write_text("Host gateway7\n")
    for name in FAR:
        path = home / "far" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (home / "bin").mkdir()
    (home / "bin" / "ssh").write_text(SSH.format(home=home, ssh=shutil.which("ssh")))
    (home / "bin" / "ssh").chmod(0o755)
    for shell, name in SHELLS.items():
        (home / name).write_text(build_completion(shell))
    return home


def make_environment(home):
    path = f"{home}/bin:{os.environ['PATH']}"
    return dict(os.environ, HOME=str(home), ZDOTDIR=str(home), PATH=path, TERM="dumb", LC_ALL="C.UTF-8")


def run(home, *command):
    environment = make_environment(home)
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False,
                          timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def needs(shell):
    if shutil.which(shell) is None or (shell == "bash" and not BASH_COMPLETION.exists()):
        pytest.skip(f"no {shell} here, or no bash-completion")


def complete(line: str, offered: list[str]) -> str:
    """The line with its last word completed, if there is one completion."""
    start = re.fullmatch("(.*[ =]).*", line)[1]
    words = [word.strip().replace("\\ ", " ").rpartition("=")[2] for word in offered if word]
    assert len(words) <= 1
    return start + words[0] if words else line


# --- bash -----------------------------------------------------------------------------------------

ASK_BASH = """\
source {bash_completion}
source ./escp
compopt() {{ :; }}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_LINE={line}
COMP_POINT=${{#COMP_LINE}}
_escp
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def ask_bash(home, line):
    """What the completion answers; readline breaks words at = and : as well."""
    words = line.replace("=", " = ").replace(":", " : ").split(" ")
    text = ASK_BASH.format(
        bash_completion=BASH_COMPLETION, words=" ".join(f"'{word}'" for word in words), line=f"'{line}'"
    )
    return run(home, "bash", "--norc", "-c", text)


@pytest.mark.parametrize("line", CASES)
def test_bash_completes(home, line):
    needs("bash")
    assert complete(line, ask_bash(home, line)) == CASES[line]


def ask_bash_for_remote(home, line):
    """The line, completed: what stands before the last colon is not in the answer."""
    words = ASK_BASH.format(
        bash_completion=BASH_COMPLETION, words=break_words(line), line="'" + line.replace("'", "'\\''") + "'"
    )
    answer = run(home, "bash", "--norc", "-c", words)
    offered = [word if word.endswith("\\ ") else word.rstrip() for word in answer]
    assert len(offered) <= 1, offered
    before = line[: line.rindex(":") + 1]
    return before + offered[0] if offered and offered[0] else line


def break_words(line):
    """As readline does, at blanks without a backslash, and colons."""
    words = re.findall(r"(?:\\.|[^ :=\\])+|[:=]", line)
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)


@pytest.mark.parametrize("line", REMOTE_CASES)
def test_bash_completes_remote_paths(home, line):
    needs("bash")
    expected = REMOTE_CASES[line].format(home=home)
    assert ask_bash_for_remote(home, line.format(home=home)) == expected


def test_names_of_another_host_are_no_patterns_here(home):
    """They are that host's choice, and what they match here is no name of there."""
    needs("bash")
    (home / "there*").touch()
    (home / "far" / "patterns").mkdir()
    (home / "far" / "patterns" / "the*").touch()
    (home / "far" / "patterns" / "$(touch evil)").touch()
    (home / "there").touch()
    line = f"escp gateway7:{home}/far/patterns/the"
    assert ask_bash_for_remote(home, line) == line + r"\\\*"
    answer = ask_bash_for_remote(home, f"escp gateway7:{home}/far/patterns/$")
    assert "\\$\\(touch" in answer and not (home / "evil").exists()


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_ssh_gets_what_it_needs_to_get_there(home, shell):
    needs(shell)
    (home / "logins").write_text("")
    line = "escp -P 2222 -i key -J jump -F conf -o Compression=no -4 gateway7:oth"
    ask_bash_for_remote(home, line) if shell == "bash" else ask_fish(home, line)
    (login,) = (home / "logins").read_text().splitlines()
    for words in ("-p 2222", "-i key", "-J jump", "-F conf", "-o Compression=no", "-4", "-o BatchMode=yes"):
        assert words in login


@pytest.mark.parametrize(
    "line", ["escp tls://gateway7/", "escp a tls://gateway7:1231/oth", "escp scp://gateway7/oth"]
)
@pytest.mark.parametrize("shell", SHELLS)
def test_nobody_is_asked_about_an_address(home, request, shell, line):
    needs(shell)
    (home / "logins").write_text("")
    if shell == "zsh":
        assert request.getfixturevalue("zsh")(line).replace("\\", "").rstrip() == line
    else:
        assert not any(ask_bash(home, line) if shell == "bash" else ask_fish(home, line))
    assert (home / "logins").read_text() == ""


def test_bash_offers_no_options_after_an_operand(home):
    needs("bash")
    assert not any(ask_bash(home, AFTER_AN_OPERAND))


def test_bash_offers_hosts_besides_files(home):
    needs("bash")
    (home / "gate").mkdir(exist_ok=True)
    try:
        assert sorted(ask_bash(home, "escp gat")) == ["gate/", "gateway7:"]
    finally:
        (home / "gate").rmdir()


# --- fish -----------------------------------------------------------------------------------------


def ask_fish(home, line):
    return [offer.split("\t")[0] for offer in run(home, "fish", "--no-config", "-c",
            f"source escp.fish; complete -C '{line}'")]  # fmt: skip


@pytest.mark.parametrize("line", CASES)
def test_fish_completes(home, line):
    needs("fish")
    assert complete(line, ask_fish(home, line)) == CASES[line]


@pytest.mark.parametrize("line", REMOTE_CASES)
def test_fish_completes_remote_paths(home, line):
    needs("fish")
    expected = REMOTE_CASES[line].format(home=home)
    offered = ask_fish(home, line.format(home=home).replace("\\", "\\\\"))
    assert len(offered) <= 1
    start = re.fullmatch(r"(.* )(?:[^ ]|\\ )*", line)[1] if "\\" not in line else "escp "
    assert (start + offered[0].replace(" ", "\\ ") if offered else line.format(home=home)) == expected


# --- zsh ------------------------------------------------------------------------------------------

ZSHRC = """\
fpath=($ZDOTDIR $fpath)  # compinit passes over .
autoload -Uz compinit
compinit -u -D
record() {
    zle complete-word
    print -r -- "$BUFFER" >>answers
    BUFFER=
}
zle -N record
bindkey '^T' record
unsetopt beep
: >answers
"""


@pytest.fixture(scope="module")
def zsh(home):
    """A zsh on a terminal; a function that gives it a line, presses Tab, and returns the line."""
    needs("zsh")
    (home / ".zshrc").write_text(ZSHRC)
    answers = home / "answers"
    terminal, theirs = pty.openpty()
    environment = make_environment(home)
    process = subprocess.Popen(["zsh", "-i"], stdin=theirs, stdout=subprocess.DEVNULL, cwd=home,
                               stderr=theirs, env=environment, start_new_session=True)  # fmt: skip
    os.close(theirs)
    wait_for(answers.exists)

    def ask(line):
        n_before = len(answers.read_text().splitlines())
        os.write(terminal, line.encode() + b"\x14")
        wait_for(lambda: len(answers.read_text().splitlines()) > n_before)
        return answers.read_text().splitlines()[-1]

    yield ask
    process.kill()
    process.wait()
    os.close(terminal)


def wait_for(is_true):
    end_s = time.monotonic() + TIMEOUT_S
    while not is_true():
        assert time.monotonic() < end_s, "zsh does not answer"
        time.sleep(0.01)


@pytest.mark.parametrize("line", CASES)
def test_zsh_completes(zsh, line):
    assert zsh(line).rstrip(" =").replace("\\ ", " ") == CASES[line]


# zsh's own _remote_files leaves these to the user.
NOT_BY_ZSH = ("escp gateway7:data/run\\ ", "escp gateway7:~/oth")


@pytest.mark.parametrize("line", [line for line in REMOTE_CASES if line not in NOT_BY_ZSH])
def test_zsh_completes_remote_paths(zsh, home, line):
    assert zsh(line.format(home=home)).rstrip(" ") == REMOTE_CASES[line].format(home=home)


def test_zsh_offers_no_options_after_an_operand(zsh):
    assert zsh(AFTER_AN_OPERAND).rstrip() == AFTER_AN_OPERAND


# --- all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_knows_every_option_that_has_an_effect(shell):
    text = build_completion(shell)
    for action in build_parser()._actions:
        for name in action.option_strings:
            if "==SUPPRESS==" in action.help or "no effect" in action.help:
                continue
            assert (f"-l {name[2:]} " if shell == "fish" and name[:2] == "--" else name[1:]) in text, name
