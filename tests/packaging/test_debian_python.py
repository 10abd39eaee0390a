"""Packages made by the system's own Python, which has other libraries, and no fixes of later ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.old_system import make_chroot, prefix_for
from tests.support.command import ROOT, needs_root

SYSTEM_PYTHON = Path("/usr/bin/python3")
FOLDER = ROOT / "build" / "debian-python"  # kept: what is compiled there needs not be compiled again
NEWER = ROOT / "build" / "debian-13"
TO_REACH_SERVERS = [Path("/etc/resolv.conf"), Path("/etc/ssl/certs/ca-certificates.crt")]


def copy_checkout(to: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        here, there = ROOT / name, to / name
        if not here.exists():
            there.unlink(missing_ok=True)
        elif not there.exists() or here.stat().st_mtime_ns != there.stat().st_mtime_ns:
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(here, there)


def list_made(checkout: Path) -> set[str]:
    """Names of the packages without their versions."""
    paths = (checkout / "dist" / "packages").iterdir()
    return {path.name.partition("-0")[0].partition("_0")[0] for path in paths}


@pytest.mark.timeout(900)
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="no Python of the system's")
@pytest.mark.skipif(
    Path(sys.base_prefix) == Path("/usr"), reason="the other tests run under the system's Python already"
)
@needs_root  # what Debian's Python lacks (headers, ensurepip) is installed
def test_packages_are_made_by_debians_python(tmp_path):
    copy_checkout(FOLDER)
    for command in (["build.py", "freeze"], ["packaging/package.py", "dist", "--no-wheels"]):
        python = SYSTEM_PYTHON if command[0] == "build.py" else FOLDER / ".venv" / "bin" / "python"
        done = subprocess.run([python, *command], cwd=FOLDER, capture_output=True, text=True, timeout=800)
        assert done.returncode == 0, done.stdout + done.stderr
    assert list_made(FOLDER) == {"SHA256SUMS", "escp"}
    shutil.unpack_archive(next((FOLDER / "dist" / "packages").glob("*.tar.gz")), tmp_path, filter="tar")
    (unpacked,) = tmp_path.iterdir()
    subprocess.run([unpacked / "bin" / "escp", "--selftest"], cwd=tmp_path, timeout=60, check=True)


@pytest.mark.timeout(3600)
@pytest.mark.skipif("ESCP_TEST_DEBIAN_13" not in os.environ, reason="takes minutes, Debian's mirror and PyPI")
@needs_root
def test_packages_are_made_on_debian_13():
    """All of it, with what `build.py` installs there and Python 3.13. Before, python3 and gcc are there."""
    make_chroot(NEWER, "trixie", "python3,gcc,ca-certificates")
    for path in TO_REACH_SERVERS:
        shutil.copy(path, NEWER / path.relative_to("/"))
    checkout = NEWER / "root" / "escp"
    copy_checkout(checkout)
    script = "cd /root/escp && apt-get -q update && python3 build.py package && dist/escp/bin/escp --selftest"
    env = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TMPDIR": "/tmp"}
    env.pop("CC", None)  # a compiler of this system's
    done = subprocess.run([*prefix_for(NEWER, ROOT), "sh", "-c", script], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=3000)  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert "all is well" in done.stdout
    assert list_made(checkout) == {"SHA256SUMS", "escp", "wheels"}
