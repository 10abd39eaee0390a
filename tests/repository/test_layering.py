"""Holds the order of the rooms (docs/architecture.md): what may import what, and who may print, exit, do I/O
or read a clock.

Sources are read, not imported: ast for Python, regular expressions for Cython. Each rule is shown to catch a
bad sample.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "escp"

# Lowest first. A module imports from its own room and from those before it, without cycles.
ROOMS = (
    "errors constants _fast lean failures process control options ui names tls remote streams facts jobs api "
    "agent doctor cli __main__"
).split()
MAY_IMPORT_FAST = {"streams", "process", "doctor/selftest"}  # rooms, and modules
ONLY_LOWEST = {"options/grammar", "options/parser"}  # the man page is built from them, with nothing compiled
LOWEST = {"errors", "constants", "lean"}
MAY_PRINT = {"ui/ui", "cli"}
MAY_EXIT = {"cli", "__main__"}
NO_NAMES = {"common", "utils", "helpers", "misc"}  # a room or module says what it is about
LAZY_COMMENT = re.compile(r"#.*(lazy|lazily|start-up|not at the top)", re.IGNORECASE)
LAZY_DOCSTRING = re.compile(r"lazily|start-up|is imported|are imported")  # said once for a whole module

# No I/O, no clock: time and randomness are arguments.
PURE = set(
    "names/landing control/message control/messages control/orders control/deletion control/survey "
    "control/questions control/codec control/course control/noise facts/facts ui/finding ui/display "
    "ui/progress ui/summary ui/waiting remote/sshreason doctor/advice".split()
)
IMPURE_MODULES = set(
    "asyncio datetime fcntl glob io mmap multiprocessing pathlib random secrets select selectors shutil "
    "signal socket ssl subprocess tempfile threading time uuid".split()
)
PURE_OS = {"fsencode", "fsdecode", "fspath", "sep", "strerror", "path", "PathLike"}
PURE_OS_PATH = set(
    "basename commonpath commonprefix dirname isabs join normpath relpath sep split splitext".split()
)

# The same for native code: a module cimports from its own room and from those before it.
NATIVE_ROOMS = "errors patterns base crypto wire io files send walk receive planes".split()
NATIVE_APART = {"receive": {"send", "walk"}}  # the two planes know nothing of each other
PURE_NATIVE = {"crypto/aead", "crypto/digest", "crypto/channel", "files/bounds", "wire/payloads"}
IMPURE_NATIVE = set(
    "accept4 clock_gettime close connect fdopendir fsync getrandom gettimeofday lseek nanosleep open openat "
    "openat2 poll pread preadv pwrite pwritev read readdir readv recv recvmsg rename renameat send sendmsg "
    "time unlink unlinkat usleep write writev".split()
)
MAX_LINES = 400  # of a file: a longer one has two subjects
C_PACKAGES = {"libc", "posix", "cpython", "cython"}


def room_of(module: str) -> str:
    """Of `names/landing`, `escp.names.landing` or `errors`."""
    return module.removeprefix("escp.").replace(".", "/").split("/")[0]


def holds(names: set[str], module: str) -> bool:
    """Whether the module or its room is among them."""
    return module in names or room_of(module) in names


def resolve_import(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Full names: 'escp.names.landing' for `import escp.names.landing` and its `from` form."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = ".".join(filter(None, ["escp" if node.level else "", node.module]))
    if base == "escp":
        return [f"escp.{alias.name}" if alias.name in ROOMS else "escp" for alias in node.names]
    if base.count(".") == 1 and (PACKAGE / base.split(".")[1]).is_dir():
        return [f"{base}.{alias.name}" for alias in node.names]
    return [base]


def is_fast(name: str) -> bool:
    return name == "escp._fast" or name.startswith("escp._fast.")


def check_import(module: str, name: str, *, is_lazy: bool, is_said: bool) -> Iterator[str]:
    """One imported name. is_lazy: inside a function; is_said: a comment there says why."""
    root = name.split(".")[0]
    if module in PURE and root in IMPURE_MODULES:
        yield f"is pure, but imports {name}"
    if root != "escp":
        if module in ONLY_LOWEST and root not in sys.stdlib_module_names:
            yield f"imports {name}, which is not in the standard library"
        return
    if is_fast(name):
        if not holds(MAY_IMPORT_FAST, module):
            yield "imports _fast"
        return
    if name == "escp":
        return
    below = room_of(name)
    if below not in ROOMS:
        yield f"imports {name}, which is in no room"
        return
    if module == "__init__":
        if not is_lazy and below not in LOWEST:
            yield f"loads {below} with `import escp`"
    elif ROOMS.index(below) > ROOMS.index(room_of(module)):
        yield f"imports upwards, {below}"
    is_lowest = below in LOWEST or name.removeprefix("escp.").replace(".", "/") in ONLY_LOWEST
    if module in ONLY_LOWEST and not is_lowest:
        yield f"imports more than the lowest rooms, {below}"
    if is_lazy and not is_said:
        yield f"imports {name} in a function without saying that it is lazy loading"


def check_from_import(module: str, base: str, names: set[str]) -> Iterator[str]:
    if "*" in names:
        yield "star import"
    if base == "sys" and "exit" in names and not holds(MAY_EXIT, module):
        yield "exits"
    if module in PURE and names - {"os": PURE_OS, "os.path": PURE_OS_PATH}.get(base, names):
        yield f"is pure, but imports from {base}"


def check_use(module: str, name: str) -> Iterator[str]:
    """A name as it is used: `print`, `sys.exit`, `os.path.exists`."""
    if name == "print" and not holds(MAY_PRINT, module):
        yield "prints"
    if name in ("sys.exit", "SystemExit", "exit", "quit") and not holds(MAY_EXIT, module):
        yield "exits"
    if module in PURE:
        base, _, last = name.rpartition(".")
        if name in ("open", "input") or last not in {"os": PURE_OS, "os.path": PURE_OS_PATH}.get(
            base, {last}
        ):
            yield f"is pure, but uses {name}"


def is_said_at(lines: list[str], number: int) -> bool:
    """Whether a comment beside the import, or above the block of imports that it is in, calls it lazy."""
    first = number
    while lines[first - 1].lstrip().startswith(("from ", "import ")):
        first -= 1
    return any(LAZY_COMMENT.search(line) for line in (lines[number], lines[first - 1]))


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def check_python(module: str, source: str) -> list[str]:
    """What escp/<module>.py, `names/landing` for example, does against the rules."""
    if room_of(module) not in ROOMS and module != "__init__":
        return [f"{module}: is in no room: docs/architecture.md lists them"]
    if NO_NAMES & set(module.split("/")):
        return [f"{module}: its name says nothing"]
    tree = ast.parse(source)
    if module.endswith("/__init__"):  # what a folder imports, everybody pays for who wants one file of it
        is_caption = len(tree.body) == 1 and bool(ast.get_docstring(tree))
        return [] if is_caption else [f"{module}: is more than a caption, or none"]
    found: list[tuple[int, str]] = []
    lines = ["", *source.splitlines()]
    is_said_of_all = bool(LAZY_DOCSTRING.search(ast.get_docstring(tree) or ""))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    in_functions = {inner for function in functions for inner in ast.walk(function)}
    if module == "__init__":  # the public names are typed there, and imported when they are used
        in_functions |= {inner for node in tree.body if is_for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        said: Iterable[str] = ()
        if isinstance(node, ast.Import | ast.ImportFrom):
            is_said = is_said_of_all or is_said_at(lines, node.lineno)
            for name in resolve_import(node):
                said = [*said, *check_import(module, name, is_lazy=node in in_functions, is_said=is_said)]
        if isinstance(node, ast.ImportFrom):
            said = [
                *said,
                *check_from_import(module, node.module or "", {alias.name for alias in node.names}),
            ]
        elif isinstance(node, ast.Attribute) or (
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        ):
            said = check_use(module, ast.unparse(node))
        found += [(node.lineno, what) for what in said]
    return [f"{module}:{line}: {what}" for line, what in sorted(found)]


def find_cycle(sources: dict[str, str]) -> list[str]:
    graph = {
        module: {
            name.removeprefix("escp.").replace(".", "/")
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in resolve_import(node)
            if name.startswith("escp.") and not is_fast(name)
        }
        for module, source in sources.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"import cycle: {' <- '.join(error.args[1])}"]
    return []


NATIVE_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<base>[\w.]+)[ \t]+(?P<kind>c?import)[ \t]+(?P<names>\([^)]*\)|[^\n#]*)"
    r"|(?P<plain_kind>c?import)[ \t]+(?P<plain>[^\n#]+))",
    re.MULTILINE,
)


def check_native_room(module: str, base: str) -> Iterator[str]:
    """One of our own native modules, `escp._fast.wire.payloads`, imported by `send/send`."""
    room = module.split("/")[0]
    below = base.removeprefix("escp._fast").strip(".").split(".")[0]
    if room not in NATIVE_ROOMS or below not in NATIVE_ROOMS:
        yield f"imports {base}, which is in no room"
    elif NATIVE_ROOMS.index(below) > NATIVE_ROOMS.index(room):
        yield f"imports upwards, {below}"
    elif below in NATIVE_APART.get(room, ()):
        yield f"imports {below}, of which it must know nothing"


def check_native(file_name: str, source: str) -> list[str]:
    """What one escp/_fast/<file_name> does against the rules."""
    module = file_name.rpartition(".")[0]
    found = []
    code = re.sub(r'"""(?:.|\n)*?"""|#[^\n]*', "", source)
    if "/" not in module and module not in ("__init__", "errors", "patterns"):
        found.append("is in no room")
    for match in NATIVE_IMPORT.finditer(code):
        is_cimport = "cimport" in (match["kind"], match["plain_kind"])
        bases = [match["base"]] if match["base"] else [part.split()[0] for part in match["plain"].split(",")]
        names = {part.split()[0] for part in (match["names"] or "").strip("()").split(",") if part.strip()}
        for base in bases:
            root = base.split(".")[0]
            if is_fast(base):
                found += check_native_room(module, base)
                if module in PURE_NATIVE and (impure := names & IMPURE_NATIVE):
                    found.append(f"is pure, but cimports {min(impure)}")
            elif root in ("escp", ""):
                found.append(f"imports {base or '.'}")
            elif is_cimport and root not in C_PACKAGES:
                found.append(f"cimports {base}, which is neither C nor _fast")
            elif not is_cimport and root not in sys.stdlib_module_names:
                found.append(f"imports {base}, which is not in the standard library")
            if module in PURE_NATIVE and (root == "posix" or base in ("libc.stdio", "libc.time")):
                found.append(f"is pure, but cimports {base}")
        if "*" in names:
            found.append("star import")
    if re.search(r"(?<![\w.])print\s*\(", code):
        found.append("prints")
    if re.search(r"\bsys\.exit\b|\bSystemExit\b", code):
        found.append("exits")
    return [f"{file_name}: {what}" for what in found]


def find_twins(modules: Iterable[str]) -> set[str]:
    """Last names that two native modules share: both would export PyInit_<last name> from the one library."""
    lasts = [module.rpartition("/")[2] for module in modules]
    return {last for last in lasts if lasts.count(last) > 1}


def name_in(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder).with_suffix(""))


NATIVE = PACKAGE / "_fast"
ARCHITECTURE = PACKAGE.parent / "docs" / "architecture.md"
PYTHON_FILES = sorted(path for path in PACKAGE.rglob("*.py") if NATIVE not in path.parents)
NATIVE_FILES = sorted(
    path
    for kind in ("pyx", "pxd", "py", "pyi")
    for path in NATIVE.rglob(f"*.{kind}")
    if path.stem != "_build_info"
)
ROOM_FOLDERS = sorted({path.parent for path in (*PYTHON_FILES, *NATIVE_FILES)} - {PACKAGE, NATIVE})


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: name_in(PACKAGE, path))
def test_python_module_keeps_to_its_room(path):
    assert check_python(name_in(PACKAGE, path), path.read_text()) == []


def test_python_modules_import_each_other_without_cycle():
    assert PYTHON_FILES
    assert find_cycle({name_in(PACKAGE, path): path.read_text() for path in PYTHON_FILES}) == []


@pytest.mark.parametrize("path", NATIVE_FILES, ids=lambda path: str(path.relative_to(NATIVE)))
def test_native_file_knows_nothing_above_it(path):
    assert check_native(str(path.relative_to(NATIVE)), path.read_text()) == []


def test_native_modules_have_names_of_their_own():
    modules = [name_in(NATIVE, path) for path in NATIVE.rglob("*.pyx")]
    assert modules
    assert find_twins(modules) == set()
    assert find_twins(["send/state", "receive/state", "send/send"]) == {"state"}


@pytest.mark.parametrize("folder", ROOM_FOLDERS, ids=lambda folder: name_in(PACKAGE, folder))
def test_room_has_a_caption(folder):
    captions = [path for path in (folder / "__init__.py", folder / "__init__.pxd") if path.exists()]
    assert len(captions) == 1, "Cython and Python need one of them to see a package"
    caption = re.fullmatch(r'"""(\S[^"]*)\."""\n', captions[0].read_text())
    assert caption
    if folder.parent in (PACKAGE, NATIVE):
        drawn = re.search(rf"^ +(?:escp/)?{folder.name}/ +(.*?)(?:  +\(.*)?$", ARCHITECTURE.read_text(), re.M)
        assert drawn and drawn[1].casefold() == caption[1].casefold()


BAD_PYTHON = [
    ("names/landing", "import escp.cli.main", "imports upwards, cli"),
    ("names/landing", "from escp.jobs.copy import Copy", "imports upwards, jobs"),
    ("remote/ssh", "from escp import streams", "imports upwards, streams"),
    ("control/course", "from escp.ui import log", "imports upwards, ui"),
    ("remote/ssh", "def f():\n    # lazy\n    from escp.agent import agent", "imports upwards, agent"),
    ("cli/main", "def f():\n    from escp.streams import streams", "without saying that it is lazy"),
    ("errors", "if TYPE_CHECKING:\n    from escp.names.landing import Plan", "imports upwards, names"),
    ("agent/agent", "from escp._fast.planes import plane", "imports _fast"),
    ("doctor/doctor", "import escp._fast.crypto.aead", "imports _fast"),
    ("cli/main", "def f():\n    import escp._fast.planes.plane  # lazy", "imports _fast"),
    ("__init__", "from escp._fast.planes.plane import Sender", "imports _fast"),
    ("__init__", "from escp.streams.streams import push", "loads streams"),
    ("options/parser", "from escp.options.location import parse_location", "more than the lowest rooms"),
    ("options/parser", "import rich", "not in the standard library"),
    ("parlour/sofa", "", "in no room"),
    ("names/utils", "", "says nothing"),
    ("names/__init__", "from escp.names.landing import base_name", "more than a caption"),
    ("names/__init__", "", "or none"),
    ("names/landing", "from escp.parlour import sofa", "in no room"),
    ("names/landing", "import time", "is pure"),
    ("control/messages", "import os.path, socket", "is pure"),
    ("control/course", "from random import random", "is pure"),
    ("names/landing", "import os\nos.stat('x')", "uses os.stat"),
    ("names/landing", "import os\nos.path.exists('x')", "uses os.path.exists"),
    ("ui/display", "from os.path import isdir", "imports from os.path"),
    ("facts/facts", "from os import scandir", "imports from os"),
    ("control/messages", "open('x')", "uses open"),
    ("names/landing", "from escp.constants import *", "star import"),
    ("streams/streams", "print('x')", "prints"),
    ("agent/agent", "import sys\nsys.exit(1)", "exits"),
    ("agent/agent", "from sys import exit", "exits"),
    ("agent/agent", "raise SystemExit(1)", "exits"),
]
GOOD_PYTHON = [
    (
        "names/landing",
        "import os\nfrom escp.options.location import Location\nos.fsencode(os.path.join('a', 'b'))",
    ),
    ("agent/agent", "from escp import __version__\nfrom escp.streams import streams"),
    ("streams/streams", "from escp._fast.planes import plane"),
    ("doctor/selftest", "from escp._fast.crypto.aead import BACKENDS"),
    ("cli/main", "def f():\n    from escp.streams import streams  # lazy: start-up time\n    print(streams)"),
    ("__init__", "def __getattr__(name):\n    from escp.streams import streams  # lazy"),
    (
        "cli/main",
        "def f():\n    # Not at the top: ssh logs in\n    import escp.jobs.job",
    ),
    ("cli/copy", '"""ssh first: the rest is imported meanwhile."""\ndef f():\n    import escp.agent.agent'),
    ("__main__", "import sys\nfrom escp.cli.main import main\nsys.exit(main())"),
    (
        "options/parser",
        "import argparse\nfrom escp import __version__\nfrom escp.constants import DEFAULT_PORT",
    ),
    ("names/__init__", '"""Which files."""\n'),
]


@pytest.mark.parametrize(("module", "source", "message"), BAD_PYTHON)
def test_python_bad_sample_is_caught(module, source, message):
    assert [found for found in check_python(module, source) if message in found]


@pytest.mark.parametrize(("module", "source"), GOOD_PYTHON)
def test_python_good_sample_passes(module, source):
    assert check_python(module, source) == []


def test_import_cycle_is_caught():
    there = "def f():\n    from escp.agent import agent"
    assert find_cycle({"agent/agent": "import escp.streams.leg", "streams/leg": there})
    assert (
        find_cycle({"agent/agent": "import escp.streams.leg", "streams/leg": "import escp.names.landing"})
        == []
    )


BAD_NATIVE = [
    ("send/send.pyx", "from escp.errors import NetworkError", "imports escp.errors"),
    ("send/send.pyx", "    from escp import constants", "imports escp"),
    ("send/send.pyx", "import os, escp.names.landing", "imports escp.names.landing"),
    ("send/send.pxd", "cimport numpy", "neither C nor _fast"),
    ("send/send.pyx", "import zstandard", "not in the standard library"),
    ("send/send.pyx", "from escp._fast.planes.plane cimport Plane", "imports upwards, planes"),
    ("send/send.pyx", "from escp._fast.walk.walk cimport walk_loop", "imports upwards, walk"),
    ("receive/roots.pyx", "from escp._fast.send.send_state cimport item", "must know nothing"),
    ("receive/roots.pyx", "from escp._fast.parlour.sofa cimport item", "in no room"),
    ("sofa.pyx", "", "in no room"),
    (
        "wire/payloads.pyx",
        "from escp._fast.base.libc cimport (memcpy,\n    pread)",
        "is pure, but cimports pread",
    ),
    ("crypto/digest.pyx", "from posix.unistd cimport read", "is pure, but cimports posix.unistd"),
    ("send/send.pyx", "from libc.string cimport *", "star import"),
    ("send/send.pyx", "def f():\n    print('x')", "prints"),
    ("send/send.pyx", "import sys\nsys.exit(1)", "exits"),
]
GOOD_NATIVE = """
\"\"\"from escp.names.landing import x: only words; print(this) too.\"\"\"
import os
from libc.stdint cimport uint8_t
from escp._fast.base.libc cimport (memcpy, pread)
from escp._fast.errors import raise_error
cimport escp._fast.wire.payloads as wire
cdef int f() noexcept nogil:  # import escp.cli.main
    return fprint(1)
"""


def check_order(listed: list[str], sources: dict[str, str]) -> list[str]:
    """What is wrong with a list of native modules: each must cimport from those before it only."""
    found = [f"{name} is not in _ROOMS of _fast/__init__.py" for name in sources if name not in listed]
    for at, name in enumerate(listed):
        if name not in sources:
            found.append(f"{name} is listed, and not there")
        wanted = re.findall(r"from escp[.]_fast[.](\w+[.]\w+) cimport", sources.get(name, ""))
        below = {one.replace(".", "/") for one in wanted} & {*listed} - {*listed[:at], name}
        found += [f"{name} stands before {one}" for one in sorted(below)]
    return found


def test_native_modules_are_listed_in_the_order_in_which_they_are_loaded():
    from escp import _fast

    listed = [f"{room}/{name}" for room, names in _fast._ROOMS.items() for name in names.split()]
    sources = {
        str(path.relative_to(PACKAGE / "_fast").with_suffix("")): path.read_text()
        for path in (PACKAGE / "_fast").rglob("*.pyx")
    }
    assert check_order(listed, sources) == []


def test_wrong_order_is_caught():
    sources = {"base/a": "", "io/b": "from escp._fast.base.a cimport f", "io/c": ""}
    assert check_order(["io/b", "base/a", "io/d"], sources) == [
        "io/c is not in _ROOMS of _fast/__init__.py",
        "io/b stands before base/a",
        "io/d is listed, and not there",
    ]


@pytest.mark.parametrize(("file_name", "source", "message"), BAD_NATIVE)
def test_native_bad_sample_is_caught(file_name, source, message):
    assert [found for found in check_native(file_name, source) if message in found]


def test_native_good_sample_passes():
    assert check_native("send/send.pyx", GOOD_NATIVE) == []


def find_long(sources: dict[str, str]) -> list[str]:
    """Of sources by their files' names."""
    return [name for name, text in sources.items() if text.count("\n") > MAX_LINES]


def test_no_file_is_so_long_that_it_has_two_subjects():
    kinds = {".py", ".pyx", ".pxd", ".pxi", ".h"}
    files = [path for path in PACKAGE.rglob("*") if path.suffix in kinds]
    assert len(files) > 100
    assert find_long({str(path.relative_to(PACKAGE)): path.read_text() for path in files}) == []


def test_long_file_is_caught():
    assert find_long({"a": "\n" * 400, "b": "\n" * 401}) == ["b"]
