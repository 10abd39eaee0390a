"""The check that ends a release: it sees what would not run on an old system."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "packaging"))
import elf

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
LIMIT = (2, 28)


def compile_c(folder: Path, name: str, text: str, *flags: str) -> Path:
    command = ["gcc", "-x", "c", "-", "-o", str(folder / name), *flags]
    subprocess.run(command, input=text, text=True, check=True, timeout=60)
    return folder / name


def test_harmless_object_has_no_faults(tmp_path):
    one = compile_c(tmp_path, "libone.so", "int one(void) { return 1; }", "-shared", "-fPIC", "-nostdlib")
    assert elf.list_faults(tmp_path, [one], LIMIT) == ([], ())


def test_too_new_a_symbol_is_told(tmp_path):
    # Host compilers since glibc 2.34 take __libc_start_main of that version.
    main = compile_c(tmp_path, "main", "int main(void) { return 0; }")
    needs = elf.read_needs(main)
    if needs.glibc <= LIMIT:
        pytest.skip("this system's own programs run on old systems")
    faults, newest = elf.list_faults(tmp_path, [main], LIMIT)
    assert faults == [f"main needs glibc {elf.format_version(needs.glibc)}"]
    assert newest == needs.glibc


def test_library_is_to_be_carried(tmp_path):
    flags = ("-shared", "-fPIC", "-nostdlib")
    compile_c(tmp_path, "libone.so", "int one(void) { return 1; }", *flags, "-Wl,-soname,libone.so")
    text = "int one(void); int two(void) { return one(); }"
    two = compile_c(tmp_path, "libtwo.so", text, *flags, f"-L{tmp_path}", "-lone")
    assert elf.list_faults(tmp_path, [two], LIMIT)[0] == []
    (tmp_path / "libone.so").unlink()
    (fault,) = elf.list_faults(tmp_path, [two], LIMIT)[0]
    assert fault.startswith("libtwo.so needs libone.so")


def test_run_path_is_told(tmp_path):
    flags = ("-shared", "-fPIC", "-nostdlib", "-Wl,-rpath,/tmp/build/lib")
    one = compile_c(tmp_path, "libone.so", "int one(void) { return 1; }", *flags)
    assert elf.list_faults(tmp_path, [one], LIMIT)[0] == ["libone.so looks for libraries in /tmp/build/lib"]


def test_files_are_found_by_what_they_are(tmp_path):
    one = compile_c(tmp_path, "without-a-suffix", "int one(void) { return 1; }", "-shared", "-nostdlib")
    (tmp_path / "text.so").write_text("not at all")
    (tmp_path / "link").symlink_to(one)
    assert list(elf.list_elf_files(tmp_path)) == [one]
