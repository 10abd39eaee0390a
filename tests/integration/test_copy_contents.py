"""The bytes arrive as they are: every size near a limit, with each option that changes their way."""

import os
import time

import pytest

from tests.support.command import local, needs_source, remote
from tests.support.folders import new_folder
from tests.support.trees import list_tree, write_random

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = [0, 1, 7, 4095, 4096, 4097, 128 * KIB - 1, 128 * KIB, 128 * KIB + 1,
         256 * KIB - 1, 256 * KIB, 256 * KIB + 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 3]  # fmt: skip
OPTIONS = [[], ["--nodirect"], ["--nochecksum"], ["--blocksize", "256K"], ["--blocksize", "32M"],
           ["-t", "1"], ["-t", "8"], ["-t", "64"], ["-C"],
           ["-C", "--nodirect", "--blocksize", "2M", "-t", "3"]]  # fmt: skip
LARGE_BYTES = 8 * GIB + 12345  # more than 32 bits of anything


@pytest.fixture(scope="module")
def sizes():
    """A directory with a file of each size, of random bytes and of text that compresses well."""
    with new_folder("escp-sizes-") as folder:
        for size in SIZES:
            write_random(folder / f"random-{size}", size)
            text = b"%d bottles of beer on the wall\n" * (size // 20 + 1)
            (folder / f"text-{size}").write_bytes(text[:size])
        yield folder


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_all_sizes_with_each_option(escp, sizes, target, options):
    done = escp.copy("-r", *options, sizes, local(target / "copy"), is_embedded=True)
    assert list_tree(target / "copy") == list_tree(sizes)
    assert ("not verified" in done.err) == ("--nochecksum" in options)


@pytest.mark.parametrize("size", SIZES)
def test_one_file_of_each_size_over_ssh(escp, sizes, target, size):
    escp.copy(sizes / f"random-{size}", remote(target / "copy"))
    assert (target / "copy").read_bytes() == (sizes / f"random-{size}").read_bytes()


@pytest.mark.parametrize("size", [1, 128 * KIB + 1, 5 * MIB + 3])
def test_64_streams_over_ssh_open_without_delay(escp, sizes, target, size):
    start_s = time.monotonic()
    escp.copy("-t", "64", sizes / f"random-{size}", remote(target / "copy"))
    assert time.monotonic() - start_s < 5
    assert (target / "copy").read_bytes() == (sizes / f"random-{size}").read_bytes()


@needs_source
@pytest.mark.parametrize("sides", ["sender", "agent", "both"])
def test_openssl_as_backend_on_either_side(escp, sizes, target, sides):
    agent = escp.write_agent("openssl", "export ESCP_AEAD=openssl") if sides != "sender" else escp.agent
    env = {"ESCP_AEAD": "openssl"} if sides != "agent" else {}
    done = escp.copy("-r", "-v", sizes, remote(target / "copy"), agent=agent, env=env)
    assert list_tree(target / "copy") == list_tree(sizes)
    if sides != "agent":
        assert "AES-128-GCM by openssl" in done.err


def test_unknown_backend_is_named(escp, source, target):
    (source / "a").write_bytes(b"a")
    done = escp.run(source / "a", remote(target), env={"ESCP_AEAD": "rot13"})
    assert done.code == 2 and "rot13" in done.error and done.hint


@pytest.mark.parametrize("kind", ["random", "text"])
def test_compression_pays_or_costs_nothing(escp, sizes, target, kind):
    size = max(SIZES)
    done = escp.copy("-C", "--json", sizes / f"{kind}-{size}", remote(target / "copy"))
    assert (target / "copy").read_bytes() == (sizes / f"{kind}-{size}").read_bytes()
    n_network = done.json[-1]["bytes_network"]
    assert n_network < size / 4 if kind == "text" else size < n_network < size * 1.01


@pytest.mark.parametrize(
    ("limit", "size", "bytes_per_s"),
    [
        ("2M", 4_000_000, 2e6),
        ("16Mbit", 4_000_000, 2e6),
        ("16000", 4_000_000, 2.048e6),
        ("60M", 100_000_000, 60e6),
    ],
)
def test_limit_is_that_of_all_streams_together(escp, source, target, limit, size, bytes_per_s):
    write_random(source / "a", size)
    done = escp.copy("-l", limit, "--json", source / "a", local(target), is_embedded=True)
    assert list_tree(target) == list_tree(source)
    assert 0.6 < done.json[-1]["data_seconds"] / (size / bytes_per_s) < 1.8, done.json[-1]


def test_file_above_8_gib_with_the_dummy_engine(escp, source, target):
    with open(source / "huge", "wb") as file:
        file.truncate(LARGE_BYTES)
    done = escp.copy("--ioengine", "dummy", "--json", source / "huge", remote(target), timeout_s=60)
    result = done.json[-1]
    assert (result["bytes"], result["files"], result["dummy"]) == (LARGE_BYTES, 1, True)
    assert list_tree(target) == {}


def test_file_above_8_gib(escp, source, target):
    marks = {0: b"first", 4 * GIB - 3: b"across 4 GiB", 8 * GIB + 5: b"above 8 GiB", LARGE_BYTES - 4: b"last"}
    with open(source / "huge", "wb") as file:
        file.truncate(LARGE_BYTES)
        for offset, mark in marks.items():
            file.seek(offset)
            file.write(mark)
    escp.copy(source / "huge", remote(target), timeout_s=100)
    assert os.path.getsize(target / "huge") == LARGE_BYTES
    with open(target / "huge", "rb") as file:
        for offset, mark in marks.items():
            file.seek(offset - (offset > 0))
            assert file.read(len(mark) + 1)[offset > 0 :].startswith(mark)
