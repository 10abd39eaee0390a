"""What ELF files ask of the system that they run on, as objdump tells it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# What every glibc system has under these names; from glibc 2.34 on all but libc and libm are empty.
GLIBC_LIBRARIES = ("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1")


class Needs(NamedTuple):
    libraries: tuple[str, ...]
    glibc: tuple[int, ...]  # the newest version of a symbol; () if there is none
    run_paths: tuple[str, ...]  # folders that the loader is told to look into


def is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def list_elf_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if is_elf(path))


def read_needs(path: Path) -> Needs:
    text = subprocess.run(["objdump", "-p", str(path)], capture_output=True, text=True, check=True).stdout
    versions = [parse_version(word) for word in re.findall(r"\bGLIBC_(\d[\d.]*)", text)]
    private = ["GLIBC_PRIVATE"] if "GLIBC_PRIVATE" in text else []
    return Needs(
        tuple(re.findall(r"^\s+NEEDED\s+(\S+)", text, re.MULTILINE)) + tuple(private),
        max(versions, default=()),
        tuple(re.findall(r"^\s+(?:RPATH|RUNPATH)\s+(\S+)", text, re.MULTILINE)),
    )


def parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def format_version(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def list_faults(folder: Path, files: list[Path], limit: tuple[int, ...]) -> tuple[list[str], tuple[int, ...]]:
    """(what is wrong with any of *files*, a line each; the newest glibc version that one of them asks for).

    They may need what glibc has and what lies in *folder*.
    """
    carried = {path.name for path in folder.rglob("*")} | set(GLIBC_LIBRARIES)
    faults, newest = [], ()
    for path in files:
        name = path.relative_to(folder) if path.is_relative_to(folder) else path.name
        needs = read_needs(path)
        newest = max(newest, needs.glibc)
        if needs.glibc > limit:
            faults.append(f"{name} needs glibc {format_version(needs.glibc)}")
        for library in needs.libraries:
            if library not in carried and not re.fullmatch(r"ld-linux[\w.-]*\.so\.\d+", library):
                faults.append(f"{name} needs {library}, which is neither carried nor part of every glibc")
        for run_path in needs.run_paths:
            if not run_path.startswith("$ORIGIN"):
                faults.append(f"{name} looks for libraries in {run_path}")
    return faults, newest


def list_weaknesses(path: Path, *, is_program: bool) -> list[str]:
    """What hardening a program or library of our own lacks, a line each."""
    command = [
        "readelf",
        "--wide",
        "--file-header",
        "--program-headers",
        "--dynamic",
        "--dyn-syms",
        str(path),
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    stack = re.search(r"^\s+GNU_STACK\s.*\s([RWE ]+?)\s+\w+$", text, re.MULTILINE)
    wanted = {
        "has a fixed address (no PIE)": re.search(r"^\s+Type:\s+DYN", text, re.MULTILINE),
        "says nothing of PIE": not is_program or re.search(r"FLAGS_1.*\bPIE\b", text),
        "has no RELRO": re.search(r"^\s+GNU_RELRO\s", text, re.MULTILINE),
        "binds late": re.search(r"\(FLAGS(?:_1)?\).*\bNOW|BIND_NOW", text),
        "has a stack that can be executed": stack and "E" not in stack[1],
        "has no stack protector": "__stack_chk_fail" in text,
        "is not fortified": re.search(r"\b__(?!stack_)\w+_chk\b", text),
    }
    return [f"{path.name} {weakness}" for weakness, is_well in wanted.items() if not is_well]
