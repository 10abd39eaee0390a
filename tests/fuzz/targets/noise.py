"""What ssh's other end prints before the agent speaks: login scripts' noise, the words of --push-agent."""

import os
import tempfile
from pathlib import Path

from escp.constants import MARKER
from escp.control.noise import NoiseSkipper
from escp.errors import EscpError
from escp.lean.eventloop import EventLoop
from escp.remote.child import AgentProcess
from escp.remote.push.talk import PushSkipper
from escp.remote.push.tree import find_tree
from tests.support.pushing import write_tree

FOLDER = tempfile.TemporaryDirectory(prefix="escp-fuzz-tree-")
write_tree(Path(FOLDER.name, "tree"), "#!/bin/sh\n", 1000)
TREE = find_tree(str(Path(FOLDER.name, "tree")))
SYSTEM = f"Linux {os.uname().machine}".encode()


def test_one(data: bytes) -> None:
    step, data = 1 + (data[0] if data else 0), data[1:]
    # So that a short input holds what is long: %M the marker, %( and %) around a word, %S this system's name.
    for short, text in ((b"%M", MARKER), (b"%(", b"\n\x1eESCP agent "), (b"%)", b"\x1e\n"), (b"%S", SYSTEM)):
        data = data.replace(short, text)
    skip_noise(data, step)
    hear_scripts(data, step)


def skip_noise(data: bytes, step: int) -> None:
    skipper = NoiseSkipper()
    got = b"".join(skipper.feed(data[at : at + step]) for at in range(0, len(data), step))
    before, marker, behind = data.partition(MARKER)
    assert (got, skipper.is_past_marker) == (behind, bool(marker))
    assert len(skipper.noise) <= skipper.KEPT_BYTES and skipper.noise in before


def hear_scripts(data: bytes, step: int) -> None:
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)
    process, loop, said = AgentProcess(0, write_fd, -1, "box"), EventLoop(), []
    skipper = PushSkipper(process, TREE, loop, lambda: None, said.append)
    try:
        for at in range(0, len(data), step):
            skipper.feed(data[at : at + step])
            loop.wait(0)
            assert skipper.limit_s() > 0
    except EscpError as error:
        assert str(error).isprintable() and "\n" not in error.hint
    finally:
        skipper.close()
        loop.close()
        process.close_channel()
        os.close(read_fd)
    assert all(text.isprintable() for text in said)
