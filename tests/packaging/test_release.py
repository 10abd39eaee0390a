"""The release: what its objects ask of a system, and that it runs and copies on an old one.

It is built first (some minutes; below build/ it is kept), in a folder of its own: dist/ is the developer's.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.old_system import list_mounts_below, make_chroot, prefix_for
from tests.support.command import COMMAND, Done, Escp, local, remote
from tests.support.folders import new_folder
from tests.support.sshd import Sshd

ROOT = Path(__file__).parents[2]
BUILD_TIMEOUT_S, COPY_TIMEOUT_S = 1500, 60
sys.path.insert(0, str(ROOT / "packaging"))
from system_packages import can_release  # noqa: E402

pytestmark = [
    pytest.mark.timeout(BUILD_TIMEOUT_S),
    pytest.mark.skipif(not can_release(), reason="a release can be built on Debian 12 only"),
]
needs_chroot = pytest.mark.skipif(os.getuid() != 0, reason="a chroot needs root")


@pytest.fixture(scope="session")
def release() -> Path:
    """The folder with the tree escp/ and the one file."""
    folder = ROOT / "build" / "test-release"
    command = [sys.executable, ROOT / "packaging" / "release.py", folder]
    subprocess.run(command, check=True, timeout=BUILD_TIMEOUT_S, stdin=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="session")
def old(release: Path) -> Iterator[tuple[str, ...]]:
    """What to put before a command to run it on Debian 11, where the release is /opt/escp."""
    root = ROOT / "build" / "chroot-bullseye"
    make_chroot(root)
    yield prefix_for(root, release / "escp")
    assert list_mounts_below(root) == []


@pytest.fixture(scope="session")
def old_sshd(old: tuple[str, ...]) -> Iterator[Sshd]:
    """Debian 11's sshd, in there."""
    with new_folder("escp-old-sshd-") as folder, Sshd(folder, prefix=old) as server:
        yield server


@pytest.fixture
def old_escp(folder: Path, old_sshd: Sshd) -> Iterator[Escp]:
    """This system's escp, and the release as its agent on Debian 11."""
    with Escp(folder, old_sshd) as one:
        one.agent = one.write_agent("old-agent", command='exec /opt/escp/bin/escp "$@"')
        yield one


def list_objects(release: Path) -> list[Path]:
    files = [path for path in release.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if path.read_bytes()[:4] == b"\x7fELF"]


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COPY_TIMEOUT_S, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def fact(text: str, name: str) -> str:
    return re.search(rf"^{name}: (.+)$", text, re.MULTILINE)[1]


def test_no_object_needs_a_newer_glibc_than_rhel_8_has(release):
    objects = list_objects(release)
    names = " ".join(path.name for path in objects)
    assert "libpython3.13.so" in names and "_native.cpython-313" in names and "escp-" in names
    for path in objects:
        text = run("objdump", "-T", path)
        versions = [tuple(map(int, word.split("."))) for word in re.findall(r"GLIBC_(\d+(?:\.\d+)*)", text)]
        assert max(versions, default=()) <= (2, 28), path


def test_no_object_looks_for_libraries_where_it_was_built(release):
    for path in list_objects(release):
        assert not re.search(r"RPATH|RUNPATH", run("objdump", "-p", path)), path


def test_modules_show_only_their_entry(release):
    """OpenSSL's names, for one, must not meet those of another OpenSSL in the same process."""
    (native,) = (path for path in list_objects(release) if path.name.startswith("_native."))
    lines = run("objdump", "-T", native).splitlines()
    shown = {line.split()[-1] for line in lines if " g " in line and "*UND*" not in line}
    assert shown == {f"PyInit_{pyx.stem}" for pyx in (ROOT / "escp" / "_fast").rglob("*.pyx")}


def test_same_aead_as_the_other_build(release):
    ours, others = (
        run(release / "escp" / "bin" / "escp", "--version", "-v"),
        run(*COMMAND, "--version", "-v"),
    )
    for name in ("AEAD", "AEAD backends here"):
        assert fact(ours, name) == fact(others, name)
    # Not their last numbers: how old this machine's updates are is none of the release's business.
    both = [re.findall(r"(\w+) (\d+\.\d+)", fact(said, "libraries")) for said in (ours, others)]
    assert both[0] == both[1]
    assert "clang" in fact(ours, "compiler")


@needs_chroot
@pytest.mark.parametrize("form", ["tree", "one file"])
def test_starts_on_debian_11(release, old, form):
    program = Path("/opt/escp/bin/escp")
    if form == "one file":
        (one_file,) = release.glob("escp-*")
        root = ROOT / "build" / "chroot-bullseye"
        program = Path("/root", one_file.name)
        (root / "root" / one_file.name).write_bytes(one_file.read_bytes())
        (root / "root" / one_file.name).chmod(0o755)
    assert "GLIBC 2.31" in run(*old, "ldd", "--version")
    here = run(release / "escp" / "bin" / "escp", "--version", "-v")
    there = run(*old, str(program), "--version", "-v")
    assert fact(there, "system").endswith("glibc2.31")
    assert fact(there, "AEAD") == fact(here, "AEAD")


def write_random(path: Path, n_bytes: int = 3_000_001) -> bytes:
    contents = os.urandom(n_bytes)
    path.write_bytes(contents)
    return contents


@needs_chroot
def test_agent_on_debian_11_receives_and_sends(old_escp, source, target):
    contents = write_random(source / "file")
    old_escp.copy("-p", source / "file", remote(target))
    assert (target / "file").read_bytes() == contents
    old_escp.copy("-C", remote(target / "file"), source / "back")
    assert (source / "back").read_bytes() == contents


@needs_chroot
@pytest.mark.parametrize("agent", ["source", "release"])
def test_started_on_debian_11_it_sends_and_receives(escp, old, release, source, target, agent):
    """By Debian 11's ssh to an sshd of this system."""
    if agent == "release":
        program = release / "escp" / "bin" / "escp"
        escp.agent = escp.write_agent("release-agent", command=f'exec {program} "$@"')
    contents = write_random(source / "file")
    there = {"command": ["/opt/escp/bin/escp"], "prefix": old, "timeout_s": COPY_TIMEOUT_S}
    done: Done = escp.copy("-v", source / "file", remote(target), **there)
    assert "ipsec_mb" in done.err or "openssl" in done.err
    assert (target / "file").read_bytes() == contents
    escp.copy(remote(target / "file"), source / "back", **there)
    assert (source / "back").read_bytes() == contents


@needs_chroot
def test_copies_within_debian_11(escp, old, source, target):
    contents = write_random(source / "file")
    there = {"command": ["/opt/escp/bin/escp"], "prefix": old}
    escp.copy(source / "file", local(target), is_embedded=True, **there)
    assert (target / "file").read_bytes() == contents
