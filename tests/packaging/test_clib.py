"""The C library and examples/detector: compiled as users do, against what packages hold, and run."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from clib import build_library

from tests.support.command import TIMEOUT_S

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "detector"
FRAME = 1 << 18


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefix")
    build_library(folder, "1.2")
    return folder


def ask(prefix, *words):
    env = os.environ | {"PKG_CONFIG_PATH": str(prefix / "share" / "pkgconfig")}
    return subprocess.run(
        ["pkg-config", *words, "escp-shmem"], env=env, check=True, capture_output=True, text=True, timeout=10
    ).stdout.strip()


@pytest.fixture(scope="module")
def programs(prefix):
    made = {}
    for name in ("detector", "consumer"):
        made[name] = prefix / name
        flags = shlex.split(ask(prefix, "--cflags", "--libs"))
        command = ["cc", "-Wall", "-Wextra", "-Werror", "-o", made[name], EXAMPLES / f"{name}.c", *flags]
        subprocess.run(command, check=True, timeout=60)
    return made


def test_library_is_the_same_each_time(prefix, tmp_path):
    build_library(tmp_path, "1.2")
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"include/escp_shmem.h", "lib/libescp_shmem.a", "share/pkgconfig/escp-shmem.pc"}
    for name in names:
        assert (tmp_path / name).read_bytes() == (prefix / name).read_bytes()
    assert ask(tmp_path, "--modversion") == "1.2"


def test_library_gives_no_other_names(prefix):
    said = subprocess.run(
        ["nm", "-g", "--defined-only", prefix / "lib" / "libescp_shmem.a"],
        check=True, capture_output=True, text=True, timeout=10,
    ).stdout  # fmt: skip
    defined = {line.split()[-1] for line in said.splitlines() if len(line.split()) == 3}
    header = (prefix / "include" / "escp_shmem.h").read_text()
    assert defined == set(re.findall(r"(escp_shmem_\w+)\(", header))


@pytest.mark.parametrize("compiler", [("c++", "-xc++"), ("cc", "-std=c99")], ids=["C++", "C99"])
def test_header_suits_other_compilers(prefix, tmp_path, compiler):
    source = tmp_path / "one"
    source.write_text('#include "escp_shmem.h"\nint main(void) { return ESCP_SHMEM_VERSION - 1; }\n')
    words = [*compiler, *(["-xc"] if compiler[0] == "cc" else []), "-pedantic", "-Wall", "-Werror"]
    subprocess.run([*words, f"-I{prefix}/include", source, "-o", tmp_path / "x"], check=True, timeout=60)


def test_detector_loses_no_frame_on_its_way_to_another_host(escp, programs):
    n, rate = 200, 100
    words = {
        "detector": [programs["detector"], FRAME, n, rate, 64],
        "consumer": [programs["consumer"], FRAME, 64],
    }
    running = {
        name: subprocess.Popen([str(word) for word in line], stdout=subprocess.PIPE, text=True)
        for name, line in words.items()
    }
    try:
        paths = {name: process.stdout.readline().strip() for name, process in running.items()}
        done = escp.run("--ioengine=shmem", paths["detector"], f"box:{paths['consumer']}")
        assert done.code == 0, done.err
        said = {name: process.communicate(timeout=TIMEOUT_S)[0] for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    assert [process.returncode for process in running.values()] == [0, 0], said
    assert re.fullmatch(
        rf"detector: {n} frames of {FRAME} bytes in [\d.]+ s: [\d.]+ frames/s, [\d.]+ MB/s; lost: 0; "
        "all verified\n",
        said["detector"],
    )
    assert re.fullmatch(
        rf"consumer: {n} frames of {FRAME} bytes, [\d.]+ MB/s; lost: 0; all verified\n", said["consumer"]
    )
    took_s = float(re.search(r"in ([\d.]+) s", said["detector"])[1])
    assert 0.9 * n / rate < took_s < 2 * n / rate + 5
