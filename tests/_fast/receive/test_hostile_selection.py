"""Peers with the true keys that ask and answer what they must not."""

import os

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FILE_FAILED, FINISHED, LISTED
from escp._fast.wire.payloads import encode_entry, encode_extra, encode_result
from escp.failures import FAST_PROTOCOL, FAST_SYS, FAST_UNSAFE
from tests.support.peers import (
    ASKS_DIRECTORY,
    IS_EARLY,
    IS_SAME,
    IS_WANTED,
    LINK,
    QUERY,
    SMALL,
    Receiver,
    Sender,
)

CHANGED = {"selection": "changed"}
DIGESTS = {"selection": "changed", "compares_digests": True}
TIME_NS = 1_700_000_000_000_000_001


def ask(path, id=1, **fields):
    return encode_entry(kind=QUERY, id=id, path=path, **{"size": 8, "mtime_ns": TIME_NS, **fields})


def take_question(receiver):
    [entry] = receiver.receive_entries()
    assert entry["kind"] == QUERY
    return entry


def expect_fatal(peer, where, code=FAST_PROTOCOL):
    event = peer.wait(FATAL)
    assert (event.code, event.where) == (code, where)


# ---- A receiver that answers wrongly ----------------------------------------------------------------


def test_honest_answers(small):
    with Receiver(small, **CHANGED) as receiver:
        question = take_question(receiver)
        assert (question["path"], question["size"], question["flags"]) == (b"named", 8, 0)
        assert question["digest"] == bytes(16)
        receiver.send_result(question["id"], flags=IS_WANTED)
        [entry] = receiver.receive_entries()
        assert entry["kind"] == SMALL and entry["id"] != question["id"]
        receiver.receive_frame()
        receiver.send_result(entry["id"], digest=entry["digest"])
        receiver.receive_frame()
        receiver.send_end()
        receiver.wait(FINISHED)
        assert receiver.plane.counters()["files"] == 1


@pytest.mark.parametrize("options", [CHANGED, DIGESTS])
@pytest.mark.parametrize("second", [IS_SAME, IS_WANTED])
@pytest.mark.parametrize("first", [IS_SAME, IS_WANTED])
def test_second_answer_is_refused(small, options, first, second):
    with Receiver(small, **options) as receiver:
        id = take_question(receiver)["id"]
        receiver.send_results(encode_result(id, flags=first), encode_result(id, flags=second))
        expect_fatal(receiver, "result of an unknown file")


@pytest.mark.parametrize("flags", [IS_SAME, IS_WANTED])
@pytest.mark.parametrize("offset", [-8192, 1, 8192])
def test_answer_to_a_question_never_asked_is_refused(small, flags, offset):
    with Receiver(small, **CHANGED) as receiver:
        receiver.send_result(take_question(receiver)["id"] + offset, flags=flags)
        expect_fatal(receiver, "result of an unknown file")


def test_answer_that_says_neither_is_refused(small):
    with Receiver(small, **CHANGED) as receiver:
        receiver.send_result(take_question(receiver)["id"], digest=digest_of(b"contents"))
        expect_fatal(receiver, "answer")
        assert receiver.plane.counters()["files"] == 0


def test_early_failure_of_a_question_is_refused(small):
    with Receiver(small, **CHANGED) as receiver:
        receiver.send_result(take_question(receiver)["id"], code=FAST_SYS, flags=IS_EARLY)
        expect_fatal(receiver, "result of an unknown file")


@pytest.mark.parametrize("flags", [IS_SAME, IS_WANTED])
def test_answer_about_a_file_that_was_sent_is_refused(small, flags):
    with Receiver(small) as receiver:
        [entry] = receiver.receive_entries()
        receiver.send_result(entry["id"], flags=flags)
        expect_fatal(receiver, "answer")


@pytest.mark.parametrize("fields", [{"flags": 6}, {"flags": 3}, {"flags": IS_SAME, "code": 1}, {"flags": 8},
                                    {"flags": IS_WANTED, "code": 1}, {"flags": 5, "code": 1}])  # fmt: skip
def test_answer_with_flags_that_contradict_is_refused(small, fields):
    with Receiver(small, **CHANGED) as receiver:
        receiver.send_result(take_question(receiver)["id"], **fields)
        expect_fatal(receiver, "result fields")


def test_end_before_the_answer_is_refused(small):
    with Receiver(small, **CHANGED) as receiver:
        take_question(receiver)
        receiver.send_end()
        expect_fatal(receiver, "end before the last result")


def test_failure_of_a_question_names_the_file_and_nothing_is_sent(small):
    with Receiver(small, **CHANGED) as receiver:
        receiver.send_result(take_question(receiver)["id"], code=FAST_UNSAFE)
        event = receiver.wait(FILE_FAILED)
        assert (event.code, event.is_remote, event.path) == (FAST_UNSAFE, True, b"named")
        receiver.receive_frame()
        receiver.send_end()
        receiver.wait(FINISHED)
        counters = receiver.plane.counters()
        assert (counters["failed"], counters["files"], counters["skipped"]) == (1, 0, 0)


def test_same_with_another_digest_is_sent(small):
    with Receiver(small, **DIGESTS) as receiver:
        receiver.send_result(take_question(receiver)["id"], flags=IS_SAME, digest=digest_of(b"CONTENTS"))
        [entry] = receiver.receive_entries()
        assert entry["kind"] == SMALL


@pytest.mark.parametrize("options", [CHANGED, DIGESTS, {"selection": "newer"}], ids=str)
def test_receiver_that_can_not_judge_a_link_is_sent_it_unasked(tmp_path, options):
    (tmp_path / "link").symlink_to("text")
    with Receiver((os.fsencode(tmp_path / "link"), b"named"), keeps_links=True, **options) as receiver:
        [entry] = receiver.receive_entries()
        assert (entry["kind"], entry["extras"]) == (LINK, encode_extra(1, b"text"))


@pytest.mark.parametrize("options", [CHANGED, DIGESTS, {"selection": "newer"}], ids=str)
@pytest.mark.parametrize("flags", [IS_SAME, IS_WANTED])
def test_receiver_that_can_is_asked_with_all_that_is_sent(tmp_path, options, flags):
    link = tmp_path / "link"
    link.symlink_to("text")
    os.utime(link, ns=(TIME_NS, TIME_NS), follow_symlinks=False)
    with Receiver((os.fsencode(link), b"named"), keeps_links=True, judges_nodes=True, **options) as receiver:
        question = take_question(receiver)
        assert (question["extras"], question["size"]) == (encode_extra(1, b"text"), 0)
        assert question["mtime_ns"] == TIME_NS
        receiver.send_result(question["id"], flags=flags)
        if flags == IS_WANTED:
            [entry] = receiver.receive_entries()
            same = {
                name: question[name] for name in question.keys() - {"kind", "id", "atime_ns"}
            }  # it was read
            assert entry["kind"] == LINK and same.items() <= entry.items()
            receiver.send_result(entry["id"])
        receiver.receive_frame()  # the end
        receiver.send_end()
        receiver.wait(FINISHED)
        assert receiver.plane.counters()["skipped"] == (flags == IS_SAME)


def test_wanted_directory_of_a_dry_run_is_listed_once(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with Receiver((os.fsencode(folder), b"f"), is_dry_run=True, **CHANGED) as receiver:
        question = take_question(receiver)
        assert (question["flags"], question["size"], question["path"]) == (ASKS_DIRECTORY, 0, b"f")
        receiver.send_results(*[encode_result(question["id"], flags=IS_WANTED)])
        assert receiver.wait(LISTED).path == b"f"
        receiver.receive_frame()
        receiver.send_end()
        receiver.wait(FINISHED)


# ---- A sender that asks what it must not ------------------------------------------------------------


def make(target, name, data=b"contents"):
    path = target / name
    path.write_bytes(data)
    os.utime(path, ns=(TIME_NS, TIME_NS))
    return path


def test_honest_questions_create_nothing(target):
    make(target, "a")
    (target / "dir").mkdir()
    with Sender(target, **CHANGED) as sender:
        questions = [
            ask(b"a"), ask(b"b", 2), ask(b"no/such/dir", 3), ask(b"dir", 4, size=0, flags=ASKS_DIRECTORY),
            ask(b"dirs", 5, size=0, flags=ASKS_DIRECTORY), ask(b"a", 6, mtime_ns=0),
            ask(b"", 7, size=0, flags=ASKS_DIRECTORY),
        ]  # fmt: skip
        sender.send_entries(*questions)
        answers = sender.receive_results(len(questions))
        flags = [IS_SAME, IS_WANTED, IS_WANTED, IS_SAME, IS_WANTED, IS_WANTED, IS_SAME]
        assert answers == [(i + 1, 0, flag, 0, bytes(16)) for i, flag in enumerate(flags)]
        sender.finish()
        assert sender.plane.counters()["files"] == 0
    assert sorted(os.listdir(target)) == ["a", "dir"]


def test_digest_is_told_where_sizes_agree_and_nowhere_else(target):
    make(target, "a"), make(target, "b", b"contents!")
    with Sender(target, **DIGESTS) as sender:
        sender.send_entries(ask(b"a"), ask(b"b", 2), ask(b"c", 3))
        assert sender.receive_results(3) == [
            (1, 0, IS_SAME, 0, digest_of(b"contents")), (2, 0, IS_WANTED, 0, bytes(16)),
            (3, 0, IS_WANTED, 0, bytes(16)),
        ]  # fmt: skip


@pytest.mark.parametrize("has_openat2", [True, False])
@pytest.mark.parametrize("options", [CHANGED, DIGESTS])
def test_question_about_what_lies_outside_tells_nothing(target, tmp_path, has_openat2, options):
    (tmp_path / "outside").mkdir()
    secret = make(tmp_path / "outside", "secret")
    (target / "link").symlink_to(tmp_path / "outside")
    (target / "file").symlink_to(secret)
    with Sender(target, has_openat2=has_openat2, **options) as sender:
        sender.send_entries(
            ask(b"link/secret"), ask(b"link", 2, size=0, flags=ASKS_DIRECTORY), ask(b"file", 3)
        )
        answers = sender.receive_results(3)
    assert all(code in (FAST_UNSAFE, FAST_SYS) and not flags for _, code, flags, *_ in answers[:2])
    assert answers[2] == (3, 0, IS_WANTED, 0, bytes(16))
    assert all(digest == bytes(16) for *_, digest in answers)


@pytest.mark.parametrize(
    "path", [b"../outside", b"/etc/passwd", b"a/../b", b"a//b", b".", b"a\0b", b"n" * 256]
)
def test_question_with_an_unsafe_path_is_refused(target, path):
    with Sender(target, **CHANGED) as sender:
        sender.send_entries(ask(path))
        assert sender.wait(FATAL).code == FAST_UNSAFE


@pytest.mark.parametrize("fields", [{"flags": 1}, {"flags": 2}, {"flags": 64}, {"flags": 129},
                                    {"size": 1 << 63}, {"flags": ASKS_DIRECTORY},
                                    {"mode": 0o10000}])  # fmt: skip
def test_question_with_wrong_fields_is_refused(target, fields):
    with Sender(target, **CHANGED) as sender:
        sender.send_entries(ask(b"a", **fields))
        expect_fatal(sender, "entry fields")


def test_flag_of_a_question_on_another_entry_is_refused(target):
    with Sender(target, **CHANGED) as sender:
        sender.send_entries(encode_entry(kind=4, id=1, path=b"a", flags=ASKS_DIRECTORY))
        expect_fatal(sender, "entry fields")


def test_question_without_a_selection_is_refused(target):
    make(target, "a")
    with Sender(target) as sender:
        sender.send_entries(ask(b"a"))
        expect_fatal(sender, "question")


def test_one_file_is_all_that_may_be_asked_about_where_one_was_asked_for(target):
    make(target, "named"), make(target, "other")
    with Sender(target, target_name=b"named", **CHANGED) as sender:
        sender.send_entries(ask(b"other"), ask(b"", 2), ask(b"", 3, size=0, flags=ASKS_DIRECTORY))
        answers = sender.receive_results(3)
    assert [(code, flags) for _, code, flags, *_ in answers] == [
        (FAST_UNSAFE, 0),
        (0, IS_SAME),
        (FAST_UNSAFE, 0),
    ]


def test_pipe_is_not_opened_to_answer(target):
    os.mkfifo(target / "pipe")
    with Sender(target, **DIGESTS) as sender:
        sender.send_entries(ask(b"pipe", size=0))
        assert sender.receive_results(1) == [(1, 0, IS_WANTED, 0, bytes(16))]


def test_questions_and_files_of_one_message_are_all_answered(target):
    make(target, "a")
    data = b"small"
    with Sender(target, **CHANGED) as sender:
        small = encode_entry(kind=SMALL, id=2, path=b"s", size=5, digest=digest_of(data))
        sender.send_entries(ask(b"a"), small, ask(b"b", 3))
        sender.send_data(data, flags=1)
        results = sender.receive_results(3)
        assert {(id, flags) for id, _, flags, *_ in results} == {(1, IS_SAME), (2, 0), (3, IS_WANTED)}
        sender.finish()


@pytest.mark.parametrize("options", [CHANGED, DIGESTS])
def test_question_about_a_name_that_was_not_asked_for_is_refused(target, options):
    make(target, "secret")
    with Sender(target, has_roots=True, **options) as sender:
        sender.plane.allow(b"file")
        sender.send_entries(ask(b"secret"))
        expect_fatal(sender, "name", FAST_UNSAFE)


def test_question_about_a_directory_where_a_file_was_asked_for_is_refused(target):
    with Sender(target, has_roots=True, **CHANGED) as sender:
        sender.plane.allow(b"file")
        sender.send_entries(ask(b"file", size=0, flags=ASKS_DIRECTORY))
        expect_fatal(sender, "name", FAST_UNSAFE)


@pytest.mark.parametrize(("options", "is_same"), [(CHANGED, True), (CHANGED, False), (DIGESTS, True)])
def test_name_stays_allowed_until_its_file_has_come_or_need_not(target, options, is_same):
    if is_same:
        make(target, "file")
    with Sender(target, has_roots=True, **options) as sender:
        sender.plane.allow(b"file")
        sender.send_entries(ask(b"file"))
        assert sender.receive_results(1)[0][2] == (IS_SAME if is_same else IS_WANTED)
        if is_same and options is CHANGED:
            sender.send_small(b"file", id=2)
            expect_fatal(sender, "name", FAST_UNSAFE)
            return
        sender.send_small(b"file", b"sent", id=2)
        assert sender.receive_results(1)[0][1] == 0
        sender.finish()
    assert (target / "file").read_bytes() == b"sent"


def test_directory_that_was_asked_for_may_be_asked_about_all_over(target):
    with Sender(target, has_roots=True, **CHANGED) as sender:
        sender.plane.allow(b"d", is_directory=True)
        sender.send_entries(ask(b"d", size=0, flags=ASKS_DIRECTORY), ask(b"d/a", 2), ask(b"d/e/b", 3))
        assert [flags for _, _, flags, *_ in sender.receive_results(3)] == [IS_WANTED] * 3
        sender.send_small(b"d/a", id=4)
        assert sender.receive_results(1)[0][1] == 0
