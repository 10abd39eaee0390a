"""Another Debian in a chroot: 11 (glibc 2.31), on which a release must run, and 13, on which escp is built.

Each command gets a mount namespace of its own, so nothing is ever mounted that outlives it.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SUITE = "bullseye"
MIRROR = "http://deb.debian.org/debian"
# What only the command sees: /proc, /dev, this system's temporary files under their own name, escp read-only.
ENTER = """
set -e
root=$1 tree=$2 temporary=$3
shift 3
mkdir -p "$root/opt/escp" "$root/run/sshd" "$root$temporary"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$temporary" "$root$temporary"
mount --bind "$tree" "$root/opt/escp"
mount -o remount,bind,ro "$root/opt/escp"
exec chroot "$root" "$@"
"""


def make_chroot(root: Path, suite: str = SUITE, packages: str = "openssh-client,openssh-server") -> None:
    """Takes a minute and Debian's mirror, once: it stays below build/."""
    done = root / "escp-chroot-complete"
    if done.exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(root), MIRROR]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert made.returncode == 0, (
        f"no Debian {suite} to test with: {' '.join(command)} said\n{made.stdout[-2000:]}"
    )
    done.touch()


def prefix_for(root: Path, tree: Path) -> tuple[str, ...]:
    """The words before a command that is to run in the chroot, with *tree* as /opt/escp."""
    words = ("unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh")
    return (*words, str(root), str(tree), tempfile.gettempdir())


def list_mounts_below(root: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if line.split()[1].startswith(os.path.realpath(root))]
