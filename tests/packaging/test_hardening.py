"""What the compiler and linker were to add to our own programs and library is in them: lintian looks, too."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "packaging"))
import elf

from escp._fast import _build_info
from tests.support.command import ROOT

WEAK = ["-fno-stack-protector", "-U_FORTIFY_SOURCE", "-Wl,-z,norelro,-z,lazy,-z,execstack"]
SOURCE = "#include <string.h>\nint main(int n, char **v) { char a[64]; strcpy(a, v[0]); return a[n]; }\n"

needs_release = pytest.mark.skipif(_build_info.BUILD != "release", reason="a build with sanitizers")


@needs_release
def test_library_is_hardened():
    (library,) = (ROOT / "escp" / "_fast").glob("_native.*.so")
    assert elf.list_weaknesses(library, is_program=False) == []


def test_frozen_programs_are_hardened(frozen_tree, one_file):
    for program in (frozen_tree / "lib" / "escp" / "escp", one_file):
        assert elf.list_weaknesses(program, is_program=True) == []
    (library,) = frozen_tree.rglob("_native.*.so")
    assert elf.list_weaknesses(library, is_program=False) == []


def test_each_weakness_is_seen(tmp_path):
    source = tmp_path / "main.c"
    source.write_text(SOURCE)
    command = ["gcc", "-O2", "-w", str(source), "-o", str(tmp_path / "main")]
    subprocess.run([*command, "-no-pie", *WEAK], check=True, timeout=60)
    assert len(elf.list_weaknesses(tmp_path / "main", is_program=True)) == 7
    strong = ["-fPIE", "-pie", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now"]
    subprocess.run([*command, *strong], check=True, timeout=60)
    assert elf.list_weaknesses(tmp_path / "main", is_program=True) == []
