"""All packages on Debian 13, with what `build.py` installs there and Python 3.13."""

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.packaging.checkout import copy_checkout, list_made
from tests.packaging.old_system import MIRROR, make_chroot, prefix_for
from tests.support.command import ROOT, needs_root

CHROOT = ROOT / "build" / "debian-13"  # kept: what was installed and compiled there
TO_REACH_SERVERS = [Path("/etc/resolv.conf"), Path("/etc/ssl/certs/ca-certificates.crt")]
SERVERS = {"Debian's mirror": f"{MIRROR}/dists/trixie/Release", "PyPI": "https://pypi.org/simple/pyyaml/"}


def find_lacking() -> list[str]:
    """What this machine has not, by name."""
    lacking = [] if shutil.which("debootstrap") else ["debootstrap"]
    for name, url in SERVERS.items():
        try:
            urllib.request.urlopen(url, timeout=20).close()
        except (urllib.error.URLError, OSError) as e:
            lacking.append(f"{name} ({e})")
    return lacking


@pytest.mark.timeout(3600)
@pytest.mark.skipif("ESCP_TEST_DEBIAN_13" not in os.environ, reason="takes minutes: .ci/run asks for it")
@needs_root
def test_packages_are_made_on_debian_13():
    """Before, python3 and gcc are there."""
    lacking = find_lacking()
    if lacking:
        pytest.skip(f"lacks {', '.join(lacking)}")
    make_chroot(CHROOT, "trixie", "python3,gcc,ca-certificates")
    for path in TO_REACH_SERVERS:
        shutil.copy(path, CHROOT / path.relative_to("/"))
    checkout = CHROOT / "root" / "escp"
    copy_checkout(checkout)
    script = "cd /root/escp && apt-get -q update && python3 build.py package && dist/escp/bin/escp --selftest"
    env = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TMPDIR": "/tmp"}
    env.pop("CC", None)  # a compiler of this system's
    done = subprocess.run([*prefix_for(CHROOT, ROOT), "sh", "-c", script], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=3000)  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert "all is well" in done.stdout
    assert list_made(checkout) == {"SHA256SUMS", "escp", "wheels"}
