"""escp's modules in one file of the frozen tree."""

import ast
import compileall
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import ROOT

STARTED = f"""
import sys
sys._MEIPASS = {{folder!r}}
exec(open({str(ROOT / "packaging" / "bundle_start.py")!r}).read())
"""


@pytest.fixture
def modules(folder) -> Path:
    """A package in a folder of its own, bundled."""
    package = folder / "escp"
    (package / "room").mkdir(parents=True)
    (package / "_fast").mkdir()
    (package / "_fast" / "library.so").touch()
    for name, text in {
        "__init__": "version = 'first'",
        "room/__init__": "from escp import version",
        "room/one": "from . import two\ntold = two.told",
        "room/two": "import os\ntold = 'second'",
    }.items():
        (package / f"{name}.py").write_text(text)
    assert compileall.compile_dir(package, quiet=1, legacy=True)
    for path in package.rglob("*.py"):
        path.unlink()
    sys.path.insert(0, str(ROOT / "packaging"))
    import bundle

    bundle.bundle(package)
    return folder


def run(modules: Path, code: str, **how) -> str:
    command = [sys.executable, "-I", "-c", STARTED.format(folder=str(modules)) + code]
    return subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True, timeout=60, **how).stderr


def test_all_modules_are_in_one_file(modules):
    assert sorted(str(path.relative_to(modules)) for path in modules.rglob("*")) == [
        "escp",
        "escp/_fast",
        "escp/_fast/library.so",
        "escp/modules",
    ]
    told = run(
        modules,
        "import escp\nfrom escp.room import one\n"
        "print(escp.version, one.told, one.__file__, escp.__file__, *escp.room.__path__, file=sys.stderr)\n",
    )
    assert told.split() == [
        *("first", "second", f"{modules}/escp/room/one.pyc", f"{modules}/escp/__init__.pyc"),
        f"{modules}/escp/room",
    ]


def test_module_that_is_not_there(modules):
    code = "try:\n import escp.absent\nexcept ImportError as error:\n print(error.name, file=sys.stderr)"
    assert run(modules, code) == "escp.absent\n"


def test_update_does_not_mix_versions(modules):
    """The tree is replaced while escp runs: what is loaded later is of the version that was started."""
    new = modules / "new"
    new.write_bytes(b"\0" * 100)
    code = (
        f"import os, escp\nos.replace({str(new)!r}, {str(modules / 'escp' / 'modules')!r})\n"
        "import escp.room.one\nprint(escp.room.one.told, file=sys.stderr)"
    )
    assert run(modules, code) == "second\n"


@pytest.mark.parametrize("closed", [(0,), (0, 1), (1,)])
def test_takes_no_place_of_the_standard_files(modules, closed):
    """Whoever starts escp may have closed them: escp opens them first, and then all else."""

    def close() -> None:
        for fd in closed:
            os.close(fd)

    code = (
        "import os\n"
        "names = {fd: f'/proc/self/fd/{fd}' for fd in range(9)}\n"
        "open_ones = {fd: os.readlink(name) for fd, name in names.items() if os.path.islink(name)}\n"
        "print(open_ones, file=sys.stderr)"
    )
    told = ast.literal_eval(run(modules, code, preexec_fn=close))
    assert not told.keys() & set(closed)
    assert [fd for fd, name in told.items() if name.endswith("escp/modules") and fd > 2]
