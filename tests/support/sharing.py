"""Programs that share their memory with escp: tests/support/shmem_client.c, compiled with packaging/clib."""

import functools
import os
import subprocess
import tempfile
from pathlib import Path

from tests.support.folders import new_folder
from tests.support.sanitized import BUILD

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "packaging" / "clib"
SEGMENTS = Path("/dev/shm")
# What escp's side of a segment is compiled with, its programs' is, too. A report ends them, and so the test.
SANITIZERS = {
    "debug": ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "tsan": ("-g", "-fsanitize=thread"),
}


@functools.cache
def compile_client(source: str = "tests/support/shmem_client.c", *flags: str) -> Path:
    """The program of that C file, for as long as the tests run."""
    folder = tempfile.mkdtemp(prefix="escp-client-")
    program = Path(folder, "client")
    command = [
        *("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", *SANITIZERS.get(BUILD, ())),
        *(*flags, f"-I{LIBRARY}"),
        *(f"-I{ROOT}/escp/_fast/io", "-o", str(program), str(ROOT / source), str(LIBRARY / "escp_shmem.c")),
        "-pthread",
    ]
    subprocess.run(command, check=True, timeout=60)
    return program


class Client:
    """A running program; *words*: FILE BLOCK N [ACT K]. Its segments are named in *folder*, a tmpfs."""

    def __init__(self, folder: Path, way: str, *words: object, prefix: tuple[str, ...] = ()):
        command = [*prefix, str(compile_client()), str(folder), way, *map(str, words)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.path = Path(self.process.stdout.readline().rstrip("\n"))

    def end(self, timeout_s: float = 30.0) -> dict[str, int]:
        """What it said last: outcome, claim, bytes."""
        out, _ = self.process.communicate(timeout=timeout_s)
        words = out.split()
        return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


def shared_folder():  # a context: a folder for segments that is empty again at the end
    return new_folder("escp-shared-", place=str(SEGMENTS))


def names(folder: Path) -> list[str]:
    return os.listdir(folder)
