"""Holds style.md section 2: what may import what, and who may print, exit, do I/O or read a clock.

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

# Lowest first. A module imports from its own layer and from those below it, without cycles.
LAYERS = [
    {"constants", "errors", "record", "untranslated", "plainjson", "signals"},
    {"parser", "location", "operands", "control", "options", "plan", "procenv", "display"}
    | {"agenttree", "pushscript", "facts", "finding", "advice"}
    | {"globbing", "filelist", "sources", "config", "configfile", "values", "agentoptions"},
    {"sockets", "log", "session", "ssh", "destination", "eventloop", "tunnel", "controlchannel", "agentlink"}
    | {"reached", "pushagent", "cleanagents", "remotewords"},
    {"affinity", "sealing", "transfer", "relay", "relayed", "listener", "connector", "leg", "ends"}
    | {"onefile", "orders", "offers", "rootfinder", "watcher", "tally", "accounts"}
    | {"job", "localjob", "agentjob", "pushjob", "fetchjob", "pulljob", "hostsjob"}
    | {"service", "agent", "examine", "loopback"},
    {"progress", "ui", "selftest", "doctor"}
    | {"lines", "textui", "jsonui", "meter", "report", "about", "initiator"},
    {"clean", "cli"},
    {"__main__", "__init__"},  # the public API: its imports are lazy
]
MAY_IMPORT_FAST = {"sealing", "transfer", "relay", "selftest", "affinity", "onefile"}
ONLY_LOWEST = {"parser"}  # the man page is built from it, with nothing compiled or installed
MAY_PRINT = {"ui", "cli"}
MAY_EXIT = {"ui", "cli", "__main__"}
LAZY_COMMENT = re.compile(r"#.*(lazy|lazily|start-up|not at the top)", re.IGNORECASE)
LAZY_DOCSTRING = re.compile(r"lazily|start-up|is imported|are imported")  # said once for a whole module

PURE = {
    "plan",
    "control",
    "session",
    "facts",
    "finding",
    "advice",
}  # no I/O, no clock: time and randomness are arguments
IMPURE_MODULES = set(
    "asyncio datetime fcntl glob io mmap multiprocessing pathlib random secrets select selectors shutil "
    "signal socket ssl subprocess tempfile threading time uuid".split()
)
PURE_OS = {"fsencode", "fsdecode", "fspath", "sep", "strerror", "path", "PathLike"}
PURE_OS_PATH = set(
    "basename commonpath commonprefix dirname isabs join normpath relpath sep split splitext".split()
)

PURE_NATIVE = {"aead", "bounds", "digest", "channel", "wire"}
IMPURE_NATIVE = set(
    "accept4 clock_gettime close connect fdopendir fsync getrandom gettimeofday lseek nanosleep open openat "
    "openat2 poll pread preadv pwrite pwritev read readdir readv recv recvmsg rename renameat send sendmsg "
    "time unlink unlinkat usleep write writev".split()
)
C_PACKAGES = {"libc", "posix", "cpython", "cython"}


def layer_of(module: str) -> int | None:
    return next((number for number, layer in enumerate(LAYERS) if module in layer), None)


def resolve_import(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Full names: 'escp.plan' for `import escp.plan`, `from escp import plan` and `from . import plan`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = ".".join(filter(None, ["escp" if node.level else "", node.module]))
    if base == "escp":
        return [f"escp.{alias.name}" if layer_of(alias.name) is not None else "escp" for alias in node.names]
    return [base]


def is_fast(name: str) -> bool:
    return name == "escp._fast" or name.startswith("escp._fast.")


def check_import(module: str, name: str, *, is_lazy: bool, is_said: bool) -> Iterator[str]:
    """One imported name. is_lazy: inside a function; is_said: a comment there says why."""
    layer, root = layer_of(module), name.split(".")[0]
    if module in PURE and root in IMPURE_MODULES:
        yield f"is pure, but imports {name}"
    if root != "escp":
        if module in ONLY_LOWEST and root not in sys.stdlib_module_names:
            yield f"imports {name}, which is not in the standard library"
        return
    if is_fast(name):
        if module not in MAY_IMPORT_FAST:
            yield "imports _fast"
        return
    if name == "escp":
        return
    below = name.split(".")[1]
    if (below_layer := layer_of(below)) is None:
        yield f"imports {name}, which has no layer"
        return
    if below_layer > layer:
        yield f"imports upwards, {below}"
    if module in ONLY_LOWEST and below_layer > 0:
        yield f"imports more than the lowest layer, {below}"
    if module == "__init__" and below_layer > 0 and not is_lazy:
        yield f"loads {below} with `import escp`"
    if is_lazy and not is_said:
        yield f"imports {below} in a function without saying that it is lazy loading"


def check_from_import(module: str, base: str, names: set[str]) -> Iterator[str]:
    if "*" in names:
        yield "star import"
    if base == "sys" and "exit" in names and module not in MAY_EXIT:
        yield "exits"
    if module in PURE and names - {"os": PURE_OS, "os.path": PURE_OS_PATH}.get(base, names):
        yield f"is pure, but imports from {base}"


def check_use(module: str, name: str) -> Iterator[str]:
    """A name as it is used: `print`, `sys.exit`, `os.path.exists`."""
    if name == "print" and module not in MAY_PRINT:
        yield "prints"
    if name in ("sys.exit", "SystemExit", "exit", "quit") and module not in MAY_EXIT:
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


def check_python(module: str, source: str) -> list[str]:
    """What one escp/<module>.py does against the rules."""
    if layer_of(module) is None:
        return [f"{module}: has no layer: give it one here and in style.md section 2"]
    found: list[tuple[int, str]] = []
    lines = ["", *source.splitlines()]
    tree = ast.parse(source)
    is_said_of_all = bool(LAZY_DOCSTRING.search(ast.get_docstring(tree) or ""))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    in_functions = {inner for function in functions for inner in ast.walk(function)}
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
            name.removeprefix("escp.").split(".")[0]
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


def check_native(file_name: str, source: str) -> list[str]:
    """What one escp/_fast/<file_name> does against the rules."""
    found = []
    code = re.sub(r'"""(?:.|\n)*?"""|#[^\n]*', "", source)
    for match in NATIVE_IMPORT.finditer(code):
        is_cimport = "cimport" in (match["kind"], match["plain_kind"])
        bases = [match["base"]] if match["base"] else [part.split()[0] for part in match["plain"].split(",")]
        names = {part.split()[0] for part in (match["names"] or "").strip("()").split(",") if part.strip()}
        for base in bases:
            root = base.split(".")[0]
            is_own = root == "" or is_fast(base) or (base == "escp" and names == {"_fast"})
            if is_own:
                if Path(file_name).stem in PURE_NATIVE and (impure := names & IMPURE_NATIVE):
                    found.append(f"{file_name}: is pure, but cimports {min(impure)}")
            elif root == "escp":
                found.append(f"{file_name}: imports {base}")
            elif is_cimport and root not in C_PACKAGES:
                found.append(f"{file_name}: cimports {base}, which is neither C nor _fast")
            elif not is_cimport and root not in sys.stdlib_module_names:
                found.append(f"{file_name}: imports {base}, which is not in the standard library")
            if Path(file_name).stem in PURE_NATIVE and (
                root == "posix" or base in ("libc.stdio", "libc.time")
            ):
                found.append(f"{file_name}: is pure, but cimports {base}")
        if "*" in names:
            found.append(f"{file_name}: star import")
    if re.search(r"(?<![\w.])print\s*\(", code):
        found.append(f"{file_name}: prints")
    if re.search(r"\bsys\.exit\b|\bSystemExit\b", code):
        found.append(f"{file_name}: exits")
    return found


PYTHON_FILES = sorted(PACKAGE.glob("*.py"))
NATIVE_FILES = sorted(
    path for kind in ("*.pyx", "*.pxd", "*.py", "*.pyi") for path in (PACKAGE / "_fast").glob(kind)
)


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: path.stem)
def test_python_module_keeps_to_its_layer(path):
    assert check_python(path.stem, path.read_text()) == []


def test_python_modules_import_each_other_without_cycle():
    assert PYTHON_FILES
    assert find_cycle({path.stem: path.read_text() for path in PYTHON_FILES}) == []


@pytest.mark.parametrize("path", NATIVE_FILES, ids=lambda path: path.name)
def test_native_file_knows_nothing_above_it(path):
    assert check_native(path.name, path.read_text()) == []


BAD_PYTHON = [
    ("plan", "import escp.cli", "imports upwards, cli"),
    ("plan", "from escp.session import Session", "imports upwards, session"),
    ("ssh", "from escp import transfer", "imports upwards, transfer"),
    ("agent", "from .ui import Ui", "imports upwards, ui"),
    ("ssh", "def f():\n    # lazy\n    from . import agent", "imports upwards, agent"),
    ("cli", "def f():\n    from escp import transfer", "without saying that it is lazy"),
    ("errors", "if TYPE_CHECKING:\n    from escp.plan import Plan", "imports upwards, plan"),
    ("agent", "from escp._fast import send", "imports _fast"),
    ("cli", "def f():\n    import escp._fast.plane  # lazy", "imports _fast"),
    ("__init__", "from escp._fast.plane import Sender", "imports _fast"),
    ("__init__", "from escp.transfer import push", "loads transfer"),
    ("parser", "from escp.location import parse_location", "more than the lowest layer"),
    ("parser", "import rich", "not in the standard library"),
    ("helpers", "", "has no layer"),
    ("plan", "from escp.helpers import f", "has no layer"),
    ("plan", "import time", "is pure"),
    ("control", "import os.path, socket", "is pure"),
    ("session", "from random import random", "is pure"),
    ("plan", "import os\nos.stat('x')", "uses os.stat"),
    ("plan", "import os\nos.path.exists('x')", "uses os.path.exists"),
    ("plan", "from os.path import isdir", "imports from os.path"),
    ("plan", "from os import scandir", "imports from os"),
    ("control", "open('x')", "uses open"),
    ("plan", "from escp.constants import *", "star import"),
    ("transfer", "print('x')", "prints"),
    ("agent", "import sys\nsys.exit(1)", "exits"),
    ("agent", "from sys import exit", "exits"),
    ("agent", "raise SystemExit(1)", "exits"),
]
GOOD_PYTHON = [
    ("plan", "import os\nfrom escp.location import Location\nos.fsencode(os.path.join('a', 'b'))"),
    ("agent", "from escp import __version__\nfrom escp.transfer import receive"),
    ("transfer", "from escp._fast import plane"),
    ("cli", "def f():\n    from escp import transfer  # lazy: start-up time\n    print(transfer)"),
    ("__init__", "def __getattr__(name):\n    from escp import transfer  # lazy"),
    ("cli", "def f():\n    # Not at the top: ssh logs in\n    import escp.plan\n    import escp.agent"),
    ("cli", '"""ssh first: the rest is imported meanwhile."""\ndef f():\n    import escp.agent'),
    ("__main__", "import sys\nfrom escp.cli import main\nsys.exit(main())"),
    ("parser", "import argparse\nfrom escp import __version__\nfrom escp.constants import DEFAULT_PORT"),
]


@pytest.mark.parametrize(("module", "source", "message"), BAD_PYTHON)
def test_python_bad_sample_is_caught(module, source, message):
    assert [found for found in check_python(module, source) if message in found]


@pytest.mark.parametrize(("module", "source"), GOOD_PYTHON)
def test_python_good_sample_passes(module, source):
    assert check_python(module, source) == []


def test_import_cycle_is_caught():
    assert find_cycle({"agent": "import escp.transfer", "transfer": "def f():\n    from . import agent"})
    assert find_cycle({"agent": "import escp.transfer", "transfer": "import escp.plan"}) == []


BAD_NATIVE = [
    ("send.pyx", "from escp.errors import NetworkError", "imports escp.errors"),
    ("send.pyx", "    from escp import constants", "imports escp"),
    ("send.pyx", "import os, escp.plan", "imports escp.plan"),
    ("send.pxd", "cimport numpy", "neither C nor _fast"),
    ("send.pyx", "import zstandard", "not in the standard library"),
    ("wire.pyx", "from escp._fast.libc cimport (memcpy,\n    pread)", "is pure, but cimports pread"),
    ("digest.pyx", "from posix.unistd cimport read", "is pure, but cimports posix.unistd"),
    ("send.pyx", "from libc.string cimport *", "star import"),
    ("send.pyx", "def f():\n    print('x')", "prints"),
    ("send.pyx", "import sys\nsys.exit(1)", "exits"),
]
GOOD_NATIVE = """
\"\"\"from escp.plan import x: only words; print(this) too.\"\"\"
import os
from libc.stdint cimport uint8_t
from escp._fast.libc cimport (memcpy, pread)
from . cimport types
cimport escp._fast.wire as wire
cdef int f() noexcept nogil:  # import escp.cli
    return fprint(1)
"""


@pytest.mark.parametrize(("file_name", "source", "message"), BAD_NATIVE)
def test_native_bad_sample_is_caught(file_name, source, message):
    assert [found for found in check_native(file_name, source) if message in found]


def test_native_good_sample_passes():
    assert check_native("send.pyx", GOOD_NATIVE) == []
