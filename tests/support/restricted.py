"""A host whose administrator has a say: a forced command, a `server:` block in its /etc/escp.conf."""

import os
import shlex
from pathlib import Path

from tests.support.command import AGENT_COMMAND, Escp
from tests.support.sshd import Sshd

# /etc is everybody's on this machine: the agent is told of another one. So this needs escp from source.
_WITH_FILE = """\
import sys
from escp.options import configfile
configfile.SYSTEM_FILE = sys.argv.pop(1)
from escp.__main__ import run
run()
"""

SECRET = "a secret".ljust(98765, ".")  # its size is no word of any path
SIZES = ("98765", "98,765", "99 kB")


class RestrictedHost:
    """An sshd of its own, whose only key starts what `force` says; `reached` is what it is restricted to."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.reached = folder / "reached"
        self.reached.mkdir()
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text(SECRET)
        (folder / "sshd").mkdir()
        self.sshd = Sshd(folder / "sshd")
        self.escp = Escp(folder, self.sshd)
        self.config = folder / "etc-escp.conf"
        self.force("--restrict", self.reached)

    def force(self, *words: str | Path, block: str | None = None, reads_file: bool = False) -> None:
        """From now on each login starts an agent with these words, on a host with that `server:` block."""
        command = [*AGENT_COMMAND]
        if block is not None:
            self.config.write_text("server:\n" + "".join(f"  {line}\n" for line in block.splitlines()))
        if block is not None or reads_file:
            command = [AGENT_COMMAND[0], "-c", _WITH_FILE, str(self.config)]
        start = "exec " + shlex.join([*command, "--server", *map(str, words)])
        script = self.escp.write_agent("forced", command=start)
        key = (self.sshd.folder / "user_key.pub").read_text()
        (self.sshd.folder / "authorized_keys").write_text(f'restrict,command="{script}" {key}')

    def let_in(self) -> None:
        """Logins start what they want, as everywhere."""
        key = (self.sshd.folder / "user_key.pub").read_text()
        (self.sshd.folder / "authorized_keys").write_text(key)

    def assert_untouched(self) -> None:
        assert os.listdir(self.outside) == ["secret"]
        assert (self.outside / "secret").read_text() == SECRET

    def close(self) -> None:
        self.escp.close()
        self.sshd.stop()
