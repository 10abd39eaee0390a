"""The units under a systemd that has booted, in a Debian of its own, with the frozen tree for its users."""

import shutil
import subprocess

import pytest

from tests.packaging.old_system import make_chroot
from tests.support.command import ROOT, needs_root
from tests.support.configuration import copy_environment
from tests.support.trees import write_random

CHROOT = ROOT / "build" / "debian-12-systemd"  # kept; nothing is written into it once it is there
BOOT_S = 200
UNIT = """\
[Unit]
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=/bin/bash /mnt/script
StandardOutput=file:/mnt/out
StandardError=inherit
"""
SCRIPT = """\
set -eux
cd /mnt
echo 127.0.0.1 localhost >/etc/hosts
ln -s /opt/escp/bin/escp /usr/bin/escp
useradd -m alice
mkdir /etc/escp
cp -r host /etc/escp/tls
copy() { escp --tls-dir /mnt/user "$@"; }
listens() { grep -lsz -e "--liste[n]" /proc/[0-9]*/cmdline | wc -l; }

systemctl start escp.socket
test $(listens) = 0
copy -r source tls://localhost/
diff -r source /home/alice/source
test $(stat -c %U /home/alice/source/small) = alice
copy tls://localhost/source/small back
cmp source/small back
test $(listens) = 1

echo 'URI:escp:bob nobody' >/etc/escp/tls/users
systemctl reload escp.service
! copy source/small tls://localhost/refused
cp host/users /etc/escp/tls/users
systemctl reload escp.service

main=$(systemctl show -p MainPID --value escp.service)
test $main -gt 1
kill -9 $main
copy source/small tls://localhost/after-kill

copy -l 1M source/large tls://localhost/stopped &
sleep 3
systemctl stop escp.socket escp.service
! wait $!
test $(listens) = 0
test ! -e /home/alice/stopped
systemctl start escp.socket
copy source/large tls://localhost/stopped
cmp source/large /home/alice/stopped
"""


@pytest.fixture
def machine(frozen_tree, folder):
    """What the machine sees as /mnt."""
    (folder / "source").mkdir()
    write_random(folder / "source" / "small", 5000)
    write_random(folder / "source" / "large", 30_000_000)
    escp = frozen_tree / "bin" / "escp"
    for words in (["--make-ca", "ca"], ["--make-cert", "ca", "host", "DNS:localhost"],
                  ["--make-cert", "ca", "user", "URI:escp:alice"]):  # fmt: skip
        subprocess.run([escp, *words], cwd=folder, env=copy_environment(), timeout=60, check=True)
    (folder / "host" / "users").write_text("URI:escp:alice alice\n")
    (folder / "script").write_text(SCRIPT)
    (folder / "test.service").write_text(UNIT)
    (folder / "out").touch()
    return folder


@needs_root
@pytest.mark.timeout(900)
def test_socket_and_service(machine, frozen_tree):
    """Started by the first login, reloaded, killed, stopped in the middle of a copy, and started again."""
    lacking = [name for name in ("systemd-nspawn", "debootstrap") if not shutil.which(name)]
    if lacking:
        pytest.skip(f"lacks {', '.join(lacking)}")
    make_chroot(CHROOT, "bookworm", "systemd,systemd-sysv,passwd")
    units = ROOT / "packaging" / "systemd"
    seen = {frozen_tree: "/opt/escp", machine / "test.service": "/etc/systemd/system/test.service"}
    seen |= {path: f"/etc/systemd/system/{path.name}" for path in units.iterdir()}
    command = ["systemd-nspawn", "--quiet", "--boot", f"--directory={CHROOT}", "--volatile=overlay"]
    command += [
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--machine=escp-test",
        f"--bind={machine}:/mnt",
    ]
    command += [f"--bind-ro={path}:{there}" for path, there in seen.items()]
    done = subprocess.run(
        [*command, "systemd.unit=test.service"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", timeout=BOOT_S, check=False,
    )  # fmt: skip
    said = (machine / "out").read_text()
    assert done.returncode == 0, f"{said}\n{done.stdout[-3000:]}"
    assert "cmp source/large /home/alice/stopped" in said
