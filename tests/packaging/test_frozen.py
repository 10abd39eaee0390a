"""The frozen programs where they will run: other users, other mounts, other ends, and killed."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.command import ROOT, SOURCE_COMMAND, local, needs_root, remote
from tests.support.leftovers import find_processes, find_unfinished
from tests.support.nobody import AS_NOBODY
from tests.support.waiting import wait_for

BOTH = pytest.mark.parametrize("kind", ["tree", "one file"])


@pytest.fixture
def program(kind, frozen_tree, one_file) -> list[str]:
    return [str(frozen_tree / "bin" / "escp" if kind == "tree" else one_file)]


@pytest.fixture
def file(source) -> Path:
    path = source / "a"
    path.write_bytes(os.urandom(3_000_001))
    return path


# ---- The tree ----------------------------------------------------------------------------------


def test_tree_is_whole_and_movable(installed_tree):
    """MANIFEST names every file; nothing in the tree leads to where it was made."""
    command = ["sha256sum", "--quiet", "--strict", "-c", "lib/escp/MANIFEST"]
    subprocess.run(command, cwd=installed_tree, check=True, timeout=60)
    files = {path for path in installed_tree.rglob("*") if path.is_file() and not path.is_symlink()}
    manifest = installed_tree / "lib" / "escp" / "MANIFEST"
    named = {installed_tree / line.split("  ", 1)[1] for line in manifest.read_text().splitlines()}
    assert named == files - {manifest}
    assert os.readlink(installed_tree / "bin" / "escp") == "../lib/escp/escp"
    links = [path for path in installed_tree.rglob("*") if path.is_symlink()]
    assert not [path for path in links if os.path.isabs(os.readlink(path))]


def test_freezing_again_gives_the_same_bytes(frozen_folder, one_file, folder):
    command = [sys.executable, ROOT / "packaging" / "freeze.py", folder]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    for name in (one_file.name, "escp/lib/escp/MANIFEST"):  # which has the digests of the tree
        assert (folder / name).read_bytes() == (frozen_folder / name).read_bytes(), name


def test_libraries_are_looked_for_in_the_tree_and_the_system_only(frozen_tree):
    """Not where the Python that was frozen lies: somebody may put libraries there."""
    libraries = [path for path in frozen_tree.rglob("*") if ".so" in path.name]
    command = ["objdump", "-p", frozen_tree / "lib/escp/escp", *libraries]
    headers = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "NEEDED" in headers and not re.findall(r".*R(?:UN)?PATH .*", headers)


def test_through_links_and_path(installed_tree, folder, file, target):
    (folder / "bin").mkdir()
    (folder / "bin" / "escp").symlink_to(folder / "link")
    (folder / "link").symlink_to("opt/bin/escp")
    env = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "ESCP_CONFIG": ""}
    words = ["escp", "--embedded", "a", local(target)]
    subprocess.run(words, env=env, cwd=file.parent, check=True, timeout=60)
    assert (target / "a").read_bytes() == file.read_bytes()


# ---- Places ------------------------------------------------------------------------------------
# What a host may be like: shell commands for a mount namespace of its own. $1 is a folder to work in.

PLACES = {
    "plain": "",
    "read-only": "mount --bind $1/opt $1/opt; mount -o remount,ro,bind $1/opt; [ ! -w $1/opt ]",
    "/tmp noexec": "mount -t tmpfs -o noexec none /tmp",
    "/tmp full": "mount -t tmpfs -o size=64k none /tmp; ! head -c 100000 /dev/zero 2>/dev/null > /tmp/x",
    "/tmp read-only": "mount -t tmpfs -o ro none /tmp",
    "/tmp missing": """
        mount -t tmpfs none $1/mnt; mkdir $1/mnt/up $1/mnt/work $1/mnt/root; mknod $1/mnt/up/tmp c 0 0
        mount -t overlay -o lowerdir=/,upperdir=$1/mnt/up,workdir=$1/mnt/work none $1/mnt/root
        for name in dev proc $1; do mount --rbind /$name $1/mnt/root/$name; done
        root=$1/mnt/root; [ ! -e $root/tmp ]""",
}
IN_PLACE = """set -eu; %s
shift; if [ "${root-}" ]; then set -- chroot "$root" "$@"; fi; exec "$@" """


@pytest.fixture
def place(frozen_tree):
    """A folder with the program, a file and a target that everybody may use; not in /tmp."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="escp-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        shutil.copytree(frozen_tree, path / "opt", symlinks=True)
        (path / "mnt").mkdir()
        (path / "target").mkdir()
        (path / "target").chmod(0o777)
        (path / "a").write_bytes(os.urandom(3_000_001))
        yield path


@needs_root
@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("user", [(), AS_NOBODY], ids=["root", "nobody"])
def test_tree_runs_in_any_place_and_as_any_user(place, name, user):
    """Both ends: --embedded starts the same program as the agent. No HOME, no TMPDIR."""
    copy = [str(place / "opt/bin/escp"), "--embedded", str(place / "a"), local(place / "target")]
    command = ["unshare", "-m", "sh", "-c", IN_PLACE % PLACES[name], "sh", str(place), *user, *copy]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ESCP_CONFIG": ""}
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (place / "target" / "a").read_bytes() == (place / "a").read_bytes()


# ---- Other ends --------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("other", ["frozen", "source"])
def test_push_and_pull(escp, program, other, file, target):
    agent = escp.write_agent(
        "other", command=f'exec {shlex.join(program) if other == "frozen" else SOURCE_COMMAND} "$@"'
    )
    escp.copy(file, remote(target / "b"), command=program, agent=agent)
    escp.copy(remote(target / "b"), target / "c", command=program, agent=agent)
    assert (target / "b").read_bytes() == (target / "c").read_bytes() == file.read_bytes()


@BOTH
def test_source_with_a_frozen_agent(escp, program, file, target):
    agent = escp.write_agent("frozen", command=f'exec {shlex.join(program)} "$@"')
    escp.copy(file, remote(target), agent=agent)
    assert (target / "a").read_bytes() == file.read_bytes()


@BOTH
def test_version_page_names_the_same_build(program):
    found = subprocess.run(
        [*program, "--version", "-v"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    words = [*shlex.split(SOURCE_COMMAND), "--version", "-v"]
    assert (
        found
        == subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=ROOT, check=True).stdout
    )


# ---- ssh, and other children --------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("library_path", [None, "/usr/lib:/nowhere"])
def test_ssh_loads_nothing_of_ours_and_has_the_users_environment(escp, program, file, target, library_path):
    agent = escp.write_agent("waiting", command="exec cat > /dev/null")
    env = {"TMPDIR": str(target)} | ({"LD_LIBRARY_PATH": library_path} if library_path else {})
    process = escp.start(file, remote(target), command=program, agent=agent, env=env)

    def find_ssh():
        return [pid for pid, line in find_processes(escp.mark).items() if line.startswith("ssh ")]

    (pid,) = wait_for(find_ssh)
    wait_for(lambda: "/libcrypto" in Path(f"/proc/{pid}/maps").read_text())
    maps = {
        Path(line.split()[5]) for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/" in line
    }
    bundled = {path.name for path in (ROOT / "build/test-freeze/escp").rglob("*.so*")}
    assert bundled & {path.name for path in maps}  # else this would show nothing
    assert not [path for path in maps if path.is_relative_to(ROOT) or path.is_relative_to(target)]
    environment = dict(
        entry.split("=", 1) for entry in Path(f"/proc/{pid}/environ").read_text().split("\0") if entry
    )
    assert environment.get("LD_LIBRARY_PATH") == library_path
    assert not [name for name in environment if name.startswith(("_PYI", "_MEI", "LD_LIBRARY_PATH_"))]
    process.send_signal(signal.SIGTERM)
    assert escp.finish(process).code == 128 + signal.SIGTERM


# ---- The one file's parent -----------------------------------------------------------------------


def find_unpacked(folder: Path) -> list[Path]:
    return list(folder.glob("_MEI*"))


@pytest.fixture
def scratch(folder) -> dict[str, str]:
    """The environment in which the one file unpacks itself to a folder of the test's own."""
    (folder / "tmp").mkdir()
    return {"TMPDIR": str(folder / "tmp")}


@pytest.fixture
def slow_copy(escp, one_file, folder, scratch, source, target):
    """A copy under way, both ends from the one file; returns its Popen."""
    with open(source / "large", "wb") as file:
        file.truncate(200_000_000)
    agent = escp.write_agent(
        "one-file", f"export TMPDIR={scratch['TMPDIR']}", command=f'exec {one_file} "$@"'
    )
    words = ("--no-partial", "-l", "10M", source / "large", remote(target))
    process = escp.start(*words, command=[str(one_file)], agent=agent, env=scratch)
    wait_for(
        lambda: len(find_unpacked(folder / "tmp")) == 2 and find_unfinished(target) + open_files(escp, target)
    )
    return process


def open_files(escp, target: Path) -> list[int]:
    """Processes of the test that have something open below *target*: files without a name yet, too."""
    found = []
    for pid in find_processes(escp.mark):
        for fd in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                if os.readlink(fd).startswith(f"{target}/"):
                    found.append(pid)
            except OSError:
                continue
    return found


def parents(escp) -> dict[bool, int]:
    """The two one-file parents by "is the agent's": those that run the program and have a child that does."""
    programs = {
        pid: line for pid, line in find_processes(escp.mark).items() if "/escp-" in line.split(" ")[0]
    }
    stat = {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in programs}
    return {" --server" in programs[parent]: parent for parent in stat.values() if parent in programs}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("is_agent", [False, True])
def test_end_of_the_parent_leaves_nothing(escp, slow_copy, folder, target, number, is_agent):
    os.kill(parents(escp)[is_agent], number)
    done = escp.finish(slow_copy)
    if is_agent:
        assert done.code in (11, 13) and "ended unexpectedly" in done.error
    elif number == signal.SIGTERM:
        assert done.code == 128 + number and done.error
    escp.assert_nothing_left(within_s=20)
    assert os.listdir(target) == []
    wait_for(lambda: not find_unpacked(folder / "tmp"))


def test_exit_status_where_sigchld_is_ignored(escp, one_file, source, target):
    """The parent that unpacks waits for its child."""
    (source / "a").write_bytes(b"contents")
    prefix = (sys.executable, "-c", "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
              "os.execv(sys.argv[1], sys.argv[1:])")  # fmt: skip
    done = escp.run(source / "a", target, command=[str(one_file)], prefix=prefix)
    assert done.code == 0 and "PYI" not in done.err


@BOTH
@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_directory_in_place_of_a_standard_stream(escp, program, name, source, target):
    """Python by itself would not even start."""
    (source / "a").write_bytes(b"contents")
    fd = os.open(target, os.O_RDONLY)
    done = escp.run(source / "a", target, command=program, **{name: fd})
    os.close(fd)
    assert done.code == 0 and (target / "a").exists() and "Fatal" not in done.err


def test_interrupt_at_the_terminal_comes_twice_and_counts_once(escp, slow_copy, folder, target):
    """The terminal tells the whole group, and the parent hands it on besides."""
    os.killpg(slow_copy.pid, signal.SIGINT)
    done = escp.finish(slow_copy)
    assert done.code == 128 + signal.SIGINT and done.error
    escp.assert_nothing_left(within_s=20)
    assert os.listdir(target) == [] and not find_unpacked(folder / "tmp")
