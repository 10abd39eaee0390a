"""What `build.py test --sanitize` runs has all tests of native code, or it is said here why not."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "packaging"))

import sanitize  # noqa: E402

NATIVE = re.compile(
    r"^\s*(?:from|import) (?:escp\._fast|escp\.(?:api|streams)|tests\.support\.(?:loopback|peers|command))\b",
    re.M,
)
LEFT_OUT = {
    "cli": "what it starts integration starts too, and the frozen program has no sanitizer",
    "conformance": "compares with scp; the same copies as in integration",
    "examples": "what they start integration starts too; their packages have no sanitizer",
    "packaging": "of frozen programs and packages",
    "repository": "reads text",
    "support": "no tests",
    "tls": "the sessions that it tests are in integration",
}
FOLDERS = sorted(path.name for path in (ROOT / "tests").iterdir() if path.is_dir())


@pytest.mark.parametrize("name", FOLDERS)
def test_native_code_is_tested_with_sanitizers(name):
    modules = [path.read_text() for path in (ROOT / "tests" / name).rglob("*.py")]
    if any(NATIVE.search(text) for text in modules):
        assert (f"tests/{name}" in sanitize.FOLDERS) != (name in LEFT_OUT)


def test_folders_are_there():
    assert set(LEFT_OUT) <= set(FOLDERS)
    assert all((ROOT / name).is_dir() for name in sanitize.FOLDERS)
