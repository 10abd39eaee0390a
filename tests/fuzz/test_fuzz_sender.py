"""A sender that is answered with properly sealed nonsense: it ends, and counts nothing twice."""

import os
import random
from pathlib import Path

import pytest

from escp._fast.planes.plane import FATAL, FINISHED
from escp._fast.wire.payloads import decode_entries, encode_result
from escp.failures import FAST_PROTOCOL
from tests.support.loopback import BLOCK
from tests.support.peers import (
    ASKS_PART,
    END,
    IS_EARLY,
    IS_SAME,
    IS_WANTED,
    LARGE,
    LARGE_END,
    QUERY,
    RESULTS,
    SMALL,
    Receiver,
    encode_kept,
    encode_stamps,
    unpack,
)
from tests.support.sanitized import PATIENCE

LIMIT_S = 5.0 * PATIENCE
OPTIONS = [
    {"selection": "changed"},
    {"selection": "newer"},
    {"selection": "changed", "compares_digests": True},
    {"resumes": True, "partial_min": 1, "record": b""},
]
N_FILES = 12


def answer(story: random.Random, entry: dict, errs: float) -> list[bytes]:
    """Results for one entry: right ones but for *errs* of them."""
    fields: dict = {"digest": entry["digest"]}
    if entry["kind"] == QUERY:
        fields = {"flags": story.choice([IS_SAME, IS_WANTED])}
        if story.random() < 0.2:
            fields = {"code": story.randrange(1, 15), "sys_errno": story.randrange(40)}
    if story.random() < errs:
        fields["flags"] = story.choice([0, IS_EARLY, IS_SAME, IS_WANTED, story.randrange(256)])
    if story.random() < errs:
        fields["code"] = story.randrange(20)
    id = (
        entry["id"]
        if story.random() >= errs
        else story.choice([0, 1, entry["id"] + 1, entry["id"] ^ 1 << 20])
    )
    results = [encode_result(id, **fields)]
    return results * 2 if story.random() < errs else results


def tell_kept(story: random.Random, entry: dict, errs: float) -> list[bytes]:
    """What a receiver has of a large file of zeroes: messages, not sealed."""
    told = []
    for number in range(3):
        if story.randrange(2):
            digest = story.choice([bytes(16), bytes(16), story.randbytes(16), b"\xff" * 16])
            told.append((number, digest))
        if story.random() < errs:
            told.append((story.choice([0, 3, 1 << 20, (1 << 64) - 1]), bytes(16)))
    id = entry["id"] if story.random() >= errs else story.choice([0, 1, entry["id"] ^ 1 << 20])
    each = (
        [encode_kept(id, one) for one in told]
        if story.randrange(2)
        else [encode_kept(id, *told)] * bool(told)
    )
    if story.random() < errs:
        each.append(story.choice([encode_kept(id), encode_kept(id, *told)[:-1], encode_stamps((id, 1))]))
    return each


def tell_stamps(story: random.Random, entries: list[dict], errs: float) -> list[bytes]:
    files = [(e["id"], 1 + story.randrange(1 << 32)) for e in entries if e["kind"] in (SMALL, LARGE_END)]
    if story.random() < errs:
        files.append((story.choice([0, 1, 1 << 40, (1 << 64) - 1]), 0))
    return [encode_stamps(*files)] if files and story.randrange(4) else []


def plant(source: Path) -> None:
    """The tree that is sent."""
    (source / "d" / "e").mkdir(parents=True)
    for i in range(N_FILES):
        size = 3 * BLOCK if i == 5 else i * 100
        (source / ["", "d", "d/e"][i % 3] / str(i)).write_bytes(bytes(size))


def tell(source: Path, story: random.Random, **options) -> str:
    """One story; returns how it ended."""
    errs = story.choice([0.0, 0.01, 0.05])
    options = {**story.choice(OPTIONS), **options}
    with Receiver((os.fsencode(source), b"t"), **options) as receiver:
        receiver.pairs[0][0].settimeout(LIMIT_S)
        end = "finished"
        try:
            is_over = False
            while not is_over:
                is_data, payload = receiver.receive_frame()
                if is_data:
                    continue
                is_over = payload[0] == END
                entries = [] if is_over else decode_entries(unpack(payload))
                is_asked = [e for e in entries if e["kind"] == LARGE and e["flags"] & ASKS_PART]
                for entry in is_asked:
                    for message in tell_kept(story, entry, errs):
                        receiver.send(message)
                    receiver.send_result(entry["id"], flags=IS_WANTED)
                if "record" in options or story.random() < errs:
                    for message in tell_stamps(story, entries, errs):
                        receiver.send(message)
                results = [r for e in entries if e["kind"] != LARGE for r in answer(story, e, errs)]
                story.shuffle(results)
                if story.random() < errs:
                    receiver.send_meta(RESULTS, story.randrange(1030), b"".join(results))
                elif results:
                    receiver.send_results(*results)
            receiver.send_end()
        except ConnectionResetError:
            pass  # refused: the event says why
        while True:
            event = receiver.wait_for_any()
            if event.kind == FATAL:
                assert event.code == FAST_PROTOCOL, event
                end = "protocol"
                break
            if event.kind == FINISHED:
                break
        counters = receiver.plane.counters()
        assert counters["files"] + counters["skipped"] <= N_FILES and counters["directories"] <= 3
        if end == "finished":
            assert counters["files"] + counters["skipped"] + counters["failed"] >= N_FILES
            assert counters["is_walked"]
        record = receiver.plane.take_record() if "record" in options else b""
    if record and not options["record"]:  # what has arrived is asked about
        return tell(source, story, **{**options, "record": record})
    return end


@pytest.mark.parametrize("first_seed", range(0, 1200, 300))
def test_nonsense_for_answers_neither_hangs_nor_counts_twice(tmp_path, first_seed):
    source = tmp_path / "tree"
    plant(source)
    ends: dict[str, int] = {}
    for seed in range(first_seed, first_seed + 300):
        end = tell(source, random.Random(seed), is_dry_run=seed % 5 == 0, n_walkers=1 + seed % 3)
        ends[end] = ends.get(end, 0) + 1
    assert ends.keys() == {"finished", "protocol"}, ends
