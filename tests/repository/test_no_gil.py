"""Nothing in escp/_fast takes the GIL back (CONTRIBUTING.md): read off the C that Cython generated.

A thread of the data plane is entered without the GIL and stays so. Cython takes the GIL in such code in
four ways: `PyGILState_Ensure` in the function itself (`with gil`, `raise`, an error path); the same in a
helper that it calls (`__Pyx_ErrOccurredWithGIL` after each call of a function that may raise);
`__Pyx_WriteUnraisable(…, 1)`; the reference counts of a memory view (`…_MEMVIEW(…, 0)`). None may occur in a
function made from our source. Leaving and entering a `with nogil` block of a `def` is something else
(Py_BLOCK_THREADS) and is not looked for.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAST = ROOT / "escp" / "_fast"
GENERATED = ROOT / "build" / "cython" / "escp" / "_fast"  # BUILD_DIR of setup.py

# __pyx_f_ is a cdef function, __pyx_pf_ and __pyx_pw_ are a def and its wrapper. Cython's own memory view
# class, compiled into every module that takes a buffer, is not ours.
IS_OURS = re.compile(r"__pyx_(f|pf|pw)_(?!.*View_dot_MemoryView|__pyx_)")
DIRECT = re.compile(r"\b(?:__Pyx_)?PyGILState_Ensure\b")
UNRAISABLE = re.compile(r"\b__Pyx_WriteUnraisable\([^;]*,\s*1\)")
VIEW_COUNT = re.compile(r"\b__PYX_(?:XCLEAR|INC)_MEMVIEW\([^;]*,\s*0\)")


# A definition starts in column 0. Where it ends is not looked for (neither braces in column 0 nor counting
# them would do, with all the #if): what follows up to the next definition is declarations and tables.
DEFINITION = re.compile(r"^(?![#/\s{}*])[^\n;={}(]*?\b(?P<name>\w+)\s*\([^;={}]*\)\s*\{$", re.MULTILINE)


def split_functions(c_source: str) -> Iterator[tuple[str, str]]:
    """(name, text) of each function, without comments and the preprocessor's lines."""
    c_source = re.sub(r"/\*.*?\*/", "", c_source, flags=re.DOTALL)
    c_source = re.sub(r"^(.*\\|[ ]*#.*)\n", "", c_source, flags=re.MULTILINE)
    starts = list(DEFINITION.finditer(c_source))
    ends = [start.start() for start in starts[1:]] + [len(c_source)]
    for start, end in zip(starts, ends, strict=True):
        yield start["name"], c_source[start.end() : end]


def find_gil(c_source: str) -> dict[str, str]:
    """Our functions that take the GIL, each with the reason."""
    functions = dict(split_functions(c_source))
    helpers = {name for name, body in functions.items() if DIRECT.search(body) and not IS_OURS.match(name)}
    helpers -= {"__Pyx_WriteUnraisable"}  # only with 1 as its last argument
    called = re.compile(r"\b(" + "|".join(sorted(helpers) or ["(?!)"]) + r")\s*\(")
    found = {}
    for name, body in functions.items():
        if IS_OURS.match(name):
            for pattern in (DIRECT, called, UNRAISABLE, VIEW_COUNT):
                if hit := pattern.search(body):
                    found[name] = hit[0]
    return found


def translate(folder: Path, source: str) -> str:
    (folder / "sample.pyx").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "cython", "-3", "-X", "boundscheck=False,wraparound=False", "sample.pyx"],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (folder / "sample.c").read_text()


@pytest.mark.parametrize("pyx", sorted(FAST.rglob("*.pyx")), ids=lambda path: path.stem)
def test_generated_code_never_takes_the_gil(pyx):
    from escp._fast import _build_info

    if _build_info.BUILD != "release":
        pytest.skip("bounds checks raise; only the release build is lean")
    c_file = GENERATED / pyx.relative_to(FAST).with_suffix(".c")
    assert c_file.exists() and c_file.stat().st_mtime >= pyx.stat().st_mtime, "run `python3 build.py setup`"
    source = c_file.read_text()
    assert sum(1 for name, _ in split_functions(source) if IS_OURS.match(name)), (
        "no function found: has Cython changed?"
    )
    assert find_gil(source) == {}


def test_no_class_is_cleared_before_its_end():
    """The collector's tp_clear makes None of what it has; its __dealloc__ would take that for what it was."""
    generated = {path: path.read_text() for path in GENERATED.rglob("*.c")}
    assert any("__dealloc__" in source for source in generated.values())
    for path, source in generated.items():
        for module, name in re.findall(r"\b__pyx_tp_clear_(\w+?)_((?!_)[A-Z]\w*)\(PyObject", source):
            assert not re.search(rf"__pyx_pw_{module}_{len(name)}{name}_\d+__dealloc__", source), (path, name)


@pytest.mark.parametrize("path", sorted([*FAST.rglob("*.h"), *FAST.rglob("*.c")]), ids=lambda path: path.name)
def test_handwritten_c_knows_no_python(path):
    assert not re.search(r"\bPy[A-Z]\w+|Python\.h", path.read_text())


GOOD = """
cdef int count(const unsigned char *p, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        if p[i]:
            return -1
    return 0

cdef void *run(void *arg) noexcept nogil:
    count(<const unsigned char *>arg, 3)
    return NULL

cdef class Plane:
    cdef int x

    def __dealloc__(self):
        self.x = 1

    def go(self, const unsigned char[::1] data not None):
        cdef int r
        with nogil:
            r = count(&data[0], data.shape[0])
        if r < 0:
            raise ValueError(data.shape[0])
        return bytes(data[:3])
"""


def test_good_sample_passes(tmp_path):
    source = translate(tmp_path, GOOD)
    names = {name for name, _ in split_functions(source) if IS_OURS.match(name)}
    assert {"__pyx_f_6sample_count", "__pyx_f_6sample_run"} < names
    assert any(name.endswith("go") for name in names)
    assert find_gil(source) == {}


# Each function named bad… must be found, and no other.
BAD = """
cdef int helper(int x) noexcept nogil:
    return x

cdef int may_raise(int x) nogil:
    return x - 1

cdef void always_asks(int x) nogil:
    pass

cdef int bad_calls_default_spec(int x) noexcept nogil:
    return may_raise(x)

cdef int bad_calls_without_noexcept(int x) noexcept nogil:
    always_asks(x)
    return helper(x)

cdef int bad_with_gil(int x) noexcept nogil:
    with gil:
        str(x)
    return x

cdef int bad_gil_function(int x) noexcept with gil:
    return x

cdef int bad_raises(int x) except -1 nogil:
    if x:
        raise ValueError("x")
    return 0

cdef int bad_slices(const unsigned char[::1] view) noexcept nogil:
    cdef const unsigned char[::1] tail = view[1:]
    return tail[0]

cdef int bad_finally(int x) noexcept nogil:
    try:
        may_raise(x)
    finally:
        helper(x)
    return x

def bad_def(int x):
    with nogil:
        x = may_raise(x)
    return x

def good_def(int x):
    with nogil:
        x = helper(x)
    bad_calls_default_spec(x)
    return x + 1
"""


def test_bad_sample_is_caught(tmp_path):
    found = find_gil(translate(tmp_path, BAD))
    wanted = set(re.findall(r"(bad_\w+)\(", BAD))
    assert {name for name in wanted if any(name in hit for hit in found)} == wanted
    assert not [hit for hit in found if "bad_" not in hit]
