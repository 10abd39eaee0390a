"""This machine's own system with a layer above it: what is installed there leaves the machine as it is."""

import os
import subprocess
from pathlib import Path

# The layer is in memory and in a mount namespace of its own: both end with the shell.
MAKE = """\
mount -t tmpfs none "$0" && mkdir "$0/changed" "$0/work" "$0/root" || exit 1
mount -t overlay none "$0/root" -o "lowerdir=/,upperdir=$0/changed,workdir=$0/work" || exit 1
mount -t proc none "$0/root/proc" && mount --rbind /dev "$0/root/dev" || exit 1
mount --bind "$1" "$0/root/$1" || exit 1
echo ready; read rest
"""


class Overlay:
    """*shared*: a folder that both see."""

    def __init__(self, folder: Path, shared: Path):
        self._folder = folder
        folder.mkdir()
        command = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            MAKE,
            str(folder),
            str(shared),
        ]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._shell = subprocess.Popen(command, **pipes)
        if self._shell.stdout.readline() != b"ready\n":
            raise OSError(f"cannot lay a layer above /: {self._shell.communicate()[1].decode()}")

    def command(self, *words: str | Path) -> list[str]:
        """The words that run *words* there."""
        enter = ["nsenter", f"--target={self._shell.pid}", "--mount", "chroot", str(self._folder / "root")]
        return [*enter, *map(str, words)]

    def run(self, *words: str | Path) -> str:
        env = dict(
            os.environ,
            LC_ALL="C.UTF-8",
            DEBIAN_FRONTEND="noninteractive",
            PATH="/usr/sbin:/usr/bin:/sbin:/bin",
        )
        done = subprocess.run(self.command(*words), capture_output=True, text=True, env=env, timeout=100,
                              stdin=subprocess.DEVNULL)  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def list_changed(self) -> list[str]:
        """Files, links and what stands for removed ones, below the layer's usr, etc and opt."""
        folder = self._folder / "changed"
        find = ["nsenter", f"--target={self._shell.pid}", "--mount", "find", str(folder), "!", "-type", "d"]
        found = subprocess.run(find, capture_output=True, text=True, check=True).stdout.split("\n")
        names = [name.removeprefix(f"{folder}/") for name in found if name]
        return [name for name in names if name.startswith(("usr/", "etc/", "opt/", "bin", "lib"))]

    def close(self) -> None:
        self._shell.communicate()
        self._folder.rmdir()
