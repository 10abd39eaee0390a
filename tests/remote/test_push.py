"""What `--push-agent` hears and says, in every cut of the bytes; its scripts; the tree that it sends."""

import os
import shutil
import subprocess

import pytest

from escp.constants import MARKER
from escp.errors import AgentError, EscpError, IntegrityError, RefusedError, UsageError
from escp.lean.eventloop import EventLoop
from escp.options.options import parse_options
from escp.remote.child import AgentProcess
from escp.remote.push.script import clean_script, find_command, install_script
from escp.remote.push.talk import PushSkipper
from escp.remote.push.tree import Archive, find_tree
from tests.support.pushing import find_identity, write_manifest, write_tree

ID = "0123456789abcdef" * 4
SYSTEM = f"Linux {os.uname().machine}".encode()


def line(text: bytes) -> bytes:
    return b"\n\x1eESCP agent " + text + b"\x1e\n"


class Talk:
    """A skipper whose pipe to ssh ends here."""

    def __init__(self, tree):
        self.read_fd, write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        os.set_blocking(write_fd, False)
        self.process = AgentProcess(0, write_fd, -1, "box")
        self.loop = EventLoop()
        self.said: list[str] = []
        self.skipper = PushSkipper(self.process, tree, self.loop, lambda: None, self.said.append)

    def write(self) -> bytes:
        """Let it write what it will, and return that."""
        found = b""
        for _ in range(50):
            self.loop.wait(0)
            try:
                found += os.read(self.read_fd, 1 << 20)
            except BlockingIOError:
                continue
        return found

    def close(self) -> None:
        self.skipper.close()
        self.loop.close()
        self.process.close_channel()
        os.close(self.read_fd)


@pytest.fixture
def tree(tmp_path):
    write_tree(tmp_path / "tree", "#!/bin/sh\n")
    return find_tree(str(tmp_path / "tree"))


@pytest.fixture
def talk(tree):
    one = Talk(tree)
    yield one
    one.close()


@pytest.mark.parametrize("n", [1, 2, 7, 10_000])
@pytest.mark.parametrize("noise", [b"", b"Welcome\n", b"\x1eESCP agent \x1e\n\n", b"x" * 5000])
def test_whole_dialogue_in_pieces(talk, tree, tmp_path, n, noise):
    def feed(data: bytes) -> bytes:
        return b"".join(talk.skipper.feed(data[at : at + n]) for at in range(0, len(data), n))

    assert feed(noise + line(b"missing " + SYSTEM)) == b""
    assert talk.write() == install_script(tree.identity)
    assert feed(line(b"send")) == b""
    sent = talk.write()
    size, _, archive = sent.partition(b"\n")
    assert len(archive) == int(size) and len(talk.said) == 1
    assert feed(MARKER + b"behind") == b"behind" and talk.skipper.is_past_marker
    assert feed(line(b"send")) == line(b"send"), "what is behind the marker is the session's"
    (tmp_path / "there").mkdir()
    subprocess.run(["tar", "-xzf", "-"], input=archive, cwd=tmp_path / "there", check=True, timeout=20)
    shutil.rmtree(tmp_path / "tree" / "bin")
    subprocess.run(["diff", "-r", tmp_path / "tree", tmp_path / "there"], check=True, timeout=20)


def test_found_then_marker(talk):
    assert talk.skipper.feed(line(b"found " + SYSTEM) + MARKER + b"x") == b"x"
    assert talk.write() == b"" and talk.said == []


@pytest.mark.parametrize(
    "answers",
    [[b"send"], [b"found " + SYSTEM] * 2, [b"found " + SYSTEM, b"missing " + SYSTEM], [b"found Linux pdp11"],
     [b"missing " + SYSTEM] * 2,
     [b"missing " + SYSTEM, b"send", b"send"], [b"missing"], [b"missing Linux pdp11"], [b"missing \xff\xff"]],
)  # fmt: skip
def test_answer_out_of_turn(talk, answers):
    with pytest.raises(AgentError):
        for answer in answers:
            talk.skipper.feed(line(answer))


@pytest.mark.parametrize(
    "text", [b"", b"start", b"start x", b"write", b"tools", b"unheard of", b"\xff" * 1400]
)
def test_any_refusal_is_a_sentence(talk, text):
    with pytest.raises(EscpError) as caught:
        talk.skipper.feed(line(b"refused " + text))
    assert "box" in str(caught.value) and caught.value.exit_code in (11, 15)


@pytest.mark.parametrize("text", [b"unknown", b"missing" + b"x" * 2000, b"missing a\nb", b"found"[:4]])
def test_other_lines_are_noise(talk, text):
    assert talk.skipper.feed(line(text)) == b"" and talk.write() == b""
    assert talk.skipper.feed(line(b"found " + SYSTEM) + MARKER) == b""
    assert talk.skipper.is_past_marker


def test_agent_that_no_script_has_started_is_a_forced_commands(talk):
    with pytest.raises(RefusedError, match="starts its own escp and nothing else"):
        talk.skipper.feed(b"Welcome\n" + MARKER)


def test_command_holds_nothing_that_shells_read_differently():
    command = find_command(ID)
    start, inside, end = command.split("'")
    assert (start, end) == ("exec /bin/sh -c ", "")
    assert not any(bad in inside for bad in ("!", "\n", "\\\\", '\\"')) and len(command) < 1000
    assert find_command("f" * 64) == command.replace(ID, "f" * 64), "constant but for the identity"


@pytest.mark.parametrize("script", [install_script(ID), clean_script(ID), clean_script("")])
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_scripts_are_read_whole(script, shell):
    """`${#s}` counts characters, and `$(...)` takes away newlines at the end."""
    assert script.isascii() and not script.endswith(b"\n") and b"\0" not in script
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    words = [shell, "sh"] if shell == "busybox" else [shell]
    subprocess.run([*words, "-n"], input=script, check=True, timeout=20)


def test_manifest_that_leads_elsewhere_is_refused(tmp_path):
    write_tree(tmp_path, "#!/bin/sh\n")
    for name in ("../x", "/etc/passwd", "a/../../b", "a\\b"):
        (tmp_path / "lib/escp/MANIFEST").write_text(f"{'0' * 64}  {name}\n")
        archive = Archive(find_tree(str(tmp_path)))
        with pytest.raises(IntegrityError, match="MANIFEST"):
            list(archive.pack())
        archive.close()


def test_manifest_that_changes_meanwhile_is_refused(tmp_path):
    write_tree(tmp_path, "#!/bin/sh\n")
    tree = find_tree(str(tmp_path))
    (tmp_path / "lib/escp/escp").write_text("#!/bin/sh\nexit\n")
    write_manifest(tmp_path)
    archive = Archive(tree)
    with pytest.raises(IntegrityError, match="MANIFEST"):
        list(archive.pack())
    archive.close()


def test_packing_comes_in_small_pieces(tmp_path):
    write_tree(tmp_path, "#!/bin/sh\n", n_bytes=3 << 20)
    archive = Archive(find_tree(str(tmp_path)))
    assert len(list(archive.pack())) >= 12
    assert archive.n_bytes > 3 << 20
    archive.close()


def test_tree_is_named_by_its_manifest(tmp_path):
    write_tree(tmp_path)
    assert find_tree(str(tmp_path)).identity == find_identity(tmp_path)
    with pytest.raises(UsageError, match="no frozen escp"):
        find_tree(str(tmp_path / "lib"))


def test_one_file_has_the_tree_elsewhere(tree):
    one = tree._replace(folder="/unpacked", is_one_file=True)
    assert one.path_of("lib/escp/_internal/a/b") == "/unpacked/a/b"
    assert one.path_of("lib/escp/escp") == "/unpacked/agent/escp"
    assert one.path_of("lib/escp/MANIFEST") == "/unpacked/agent/MANIFEST"


# ---- Options ----------------------------------------------------------------------------------------


def test_of_push_agent_and_d_the_last_counts():
    def parse(*words):
        return parse_options([*words, "a", "box:"])

    assert parse("--push-agent").pushes_agent and parse("-D", "x", "--push-agent").pushes_agent
    assert parse("--push-agent", "-D", "x").agent_command == "x" and not parse().pushes_agent


@pytest.mark.parametrize(
    ("word", "user", "host", "port"),
    [("box", None, "box", None), ("me@box:", "me", "box", None), ("[::1]", None, "::1", None),
     ("scp://me@box:22", "me", "box", 22)],
)  # fmt: skip
def test_hosts_to_clean(word, user, host, port):
    (location,) = parse_options(["--clean-agents", word]).sources
    assert location == (user, host, port, b"", False)


@pytest.mark.parametrize("words", [[], ["a:b"], ["/a"], ["./a"], [""], ["scp://a/b"], ["a b"]])
def test_what_is_no_host_to_clean(words):
    with pytest.raises(UsageError):
        parse_options(["--clean-agents", *words])
