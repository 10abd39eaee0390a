"""What the last line says is what happened: of what was copied, what was left, what failed, and how fast."""

import json
import re
import signal
import time

import pytest

from tests.support.command import remote
from tests.support.trees import write_random


def summary_of(done) -> str:
    return done.err.splitlines()[-1].removeprefix("escp: ")


def test_nothing_is_verified_where_all_failed(escp, source, target):
    for number in range(3):
        (source / f"f{number}").symlink_to("nowhere")
    done = escp.run("-r", source, remote(target))
    assert done.code == 1 and re.fullmatch(r"no file copied in [0-9.]+ s, 3 failed", summary_of(done))


@pytest.mark.parametrize("is_remote", [True, False])
def test_nothing_is_verified_where_nothing_was_read(escp, source, target, is_remote):
    (source / "a").write_text("a")
    operands = ("-rp", "--skip-unchanged", source, remote(target) if is_remote else target)
    assert "verified" in summary_of(escp.copy(*operands))
    assert re.fullmatch(r"no file copied in [0-9.]+ s, 1 unchanged", summary_of(escp.copy(*operands)))


def test_rate_is_the_datas_in_text_and_json(escp, source, target):
    """A login that takes three seconds makes no copy slower."""
    write_random(source / "a", 8_000_000)
    agent = escp.write_agent("slow", "sleep 3")
    words = ("-l", "8M", source / "a", remote(target))
    result = escp.copy("--json", *words, agent=agent).json[-1]
    assert result["seconds"] > 3.5 > result["data_seconds"]
    assert 4_000_000 < result["rate_bytes_per_s"] < 16_000_000
    said = summary_of(escp.copy(*words, agent=agent))
    seconds, rate = re.fullmatch(r"1 file, 8.0 MB in ([0-9.]+) s \(([0-9.]+) MB/s\), verified", said).groups()
    assert float(seconds) > 3.5 and 4 < float(rate) < 16


@pytest.mark.parametrize("is_pull", [True, False])
@pytest.mark.parametrize("is_json", [True, False])
def test_interrupt_says_what_is_complete(escp, source, target, is_json, is_pull):
    for number in range(20):
        write_random(source / f"f{number}", 500_000, seed=number)
    options = ["--json"] if is_json else []
    operands = (remote(source), target) if is_pull else (source, remote(target))
    process = escp.start(*options, "-t", "1", "-l", "2M", "-r", *operands)
    end_s = time.monotonic() + 20
    folder = target / "source"
    while time.monotonic() < end_s and not (folder.exists() and len(list(folder.glob("f*"))) > 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    done = escp.finish(process)
    assert done.code == 130
    n_there = len(list(folder.glob("f*")))
    if is_json:
        n_complete = json.loads(done.out.splitlines()[-1])["files"]
    else:
        n_complete = int(re.search(r"^escp: complete by then: (\d+) of 20 files$", done.err, re.MULTILINE)[1])
    assert 1 <= n_complete <= n_there < 20
