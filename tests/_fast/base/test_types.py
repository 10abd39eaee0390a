"""One truth in several places: types.pxd, payloads.pxd, constants.py, failures.py, docs/protocol.md."""

import re
from pathlib import Path

import pytest

from escp import constants, errors, failures
from escp._fast.errors import FastError
from escp._fast.wire import payloads as wire

ROOT = Path(__file__).parents[3]
FAST = ROOT / "escp" / "_fast"
ENUM_LINE = re.compile(r"^    ([A-Z][A-Z0-9_]*) = (0x[0-9a-f]+|\d+)\b", re.MULTILINE)
MULTIPLE = re.compile(r"^\| `(?P<name>[A-Z_]+)` \| (?P<value>\d+) \|", re.MULTILINE)


def read_enums(name: str) -> dict[str, int]:
    found = ENUM_LINE.findall((FAST / name).read_text())
    return {word: int(value, 0) for word, value in found}


TYPES = read_enums("base/types.pxd")
WIRE = read_enums("wire/payloads.pxd")
LIMITS = {m["name"]: int(m["value"]) for m in MULTIPLE.finditer((ROOT / "docs" / "protocol.md").read_text())}
SHARED = sorted(name for name in TYPES if hasattr(constants, name))


def test_the_text_is_read_at_all():
    assert TYPES["FAST_OK"] == 0 and TYPES["MAX_BATCH"] == 1024 and WIRE["ENTRY_BYTES"] == 72


@pytest.mark.parametrize("name", SHARED)
def test_constant_is_the_same_in_python_and_native_code(name):
    assert getattr(constants, name) == TYPES[name]


def test_every_limit_that_python_and_native_code_both_need_is_in_both():
    assert set(SHARED) >= {
        "MAX_BLOCK_BYTES",
        "MAX_STREAMS",
        "MAX_PATH_BYTES",
        "MAX_NAME_BYTES",
        "SECRET_BYTES",
    }


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_documented_limit_is_the_codes(name):
    known = {**{k: v for k, v in vars(constants).items() if k.isupper()}, **TYPES, **WIRE}
    assert known[name] == LIMITS[name]


def test_every_protocol_constant_is_documented():
    text = (FAST / "base" / "types.pxd").read_text()
    protocol = set(dict(ENUM_LINE.findall(text[: text.index("# Tuning")])))
    assert protocol <= set(LIMITS)
    source = (ROOT / "escp" / "constants.py").read_text()
    of_python = source[: source.index("# --- Tuning")]
    words = set(re.findall(r"^([A-Z_]+) =", of_python, re.MULTILINE))
    assert words - {"KIB", "MIB", "MARKER"} <= set(LIMITS)


def test_error_codes_are_the_same_in_python_and_native_code():
    native = {name: value for name, value in TYPES.items() if name.startswith("FAST_") and value}
    python = {name: value for name, value in vars(failures).items() if name.startswith("FAST_")}
    assert python == native


def test_every_native_code_has_its_line_in_the_table_and_no_other_has():
    codes = {v for k, v in TYPES.items() if k.startswith("FAST_") and v} - {failures.FAST_LACKS}
    lacking = {failures.FAST_LACKS + kinds for kinds in range(1, TYPES["LACKS_ALL"] + 1)}
    assert set(failures.FAILURES) == codes | lacking and max(codes) + 1 == TYPES["N_FAST_CODES"]
    for code, kind in failures.FAILURES.items():
        assert issubclass(kind.error, errors.EscpError)
        assert kind.words or code == failures.FAST_SYS  # the system has the words for that one


@pytest.mark.parametrize("code", range(256))
def test_result_holds_the_codes_of_which_the_table_says_so(code):
    result = bytes(8) + bytes((code,)) + bytes(23)
    if code and not failures.FAILURES.get(code, failures.NO_KIND).is_result:
        with pytest.raises(FastError):
            wire.decode_result(result)
    else:
        assert wire.decode_result(result)


def test_document_says_which_codes_are_in_no_result():
    text = (ROOT / "docs" / "protocol.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `FAST_[A-Z_]+` \| .*; in no result \|$", text, re.MULTILINE)
    assert set(map(int, rows)) == {code for code, kind in failures.FAILURES.items() if not kind.is_result}


def test_error_codes_are_documented():
    text = (ROOT / "docs" / "protocol.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `(FAST_[A-Z_]+)` \|", text, re.MULTILINE)
    assert {name: int(value) for value, name in rows} == {
        name: value for name, value in TYPES.items() if name.startswith("FAST_")
    }


@pytest.mark.parametrize("prefix", ["MESSAGE_", "ENTRY_", "RESULT_", "DATA_", "META_"])
def test_wire_values_are_documented(prefix):
    text = (ROOT / "docs" / "protocol.md").read_text()
    for name, value in WIRE.items():
        if name.startswith(prefix) and not name.endswith("_BYTES"):
            assert re.search(rf"^\| {value} \| `{name}` \|", text, re.MULTILINE), name


def test_comments_name_sections_that_exist():
    headings = set(
        re.findall(r"^#+ (\d+(?:\.\d+)*)\.? ", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE)
    )
    wanted = set(re.findall(r"# (\d\.\d)\b", (ROOT / "escp" / "constants.py").read_text()))
    for path in [*(ROOT / "escp").rglob("*.py"), *FAST.rglob("*.px[di]"), *FAST.rglob("*.pyx")]:
        wanted |= set(re.findall(r"protocol\.md\W+(\d+(?:\.\d+)?)", path.read_text()))
    assert wanted and wanted <= headings


def test_failure_carries_plain_facts():
    with pytest.raises(FastError) as caught:
        wire.decode_result(bytes(31))
    error = caught.value
    assert (error.code, error.sys_errno, error.where, error.offset) == (
        failures.FAST_PROTOCOL,
        0,
        "result",
        -1,
    )
