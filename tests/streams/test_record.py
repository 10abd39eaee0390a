"""The record of a copy: there while there is something to go on with, then gone with all its traces."""

import os

import pytest

from escp.streams import record
from escp.streams.record import JobRecord

JOB = bytes(range(32))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state" / "home"))
    monkeypatch.setattr(record, "_SHORT_S", 0.0)
    return tmp_path / "state" / "home" / "escp"


def read(job: bytes = JOB) -> bytes:
    one = JobRecord(job)
    data = one.read()
    one.close(is_over=False)
    return data


def test_it_goes_with_the_folders_that_were_made_for_it(folder, tmp_path):
    one = JobRecord(JOB)
    one.append(bytes(16))
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    one.close(is_over=True)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_stay(folder):
    folder.mkdir(parents=True)
    one = JobRecord(JOB)
    one.append(bytes(16))
    one.close(is_over=True)
    assert list(folder.iterdir()) == []


def test_folder_that_another_copy_has_just_made(folder, monkeypatch):
    folder.mkdir(parents=True)
    monkeypatch.setattr(record.os.path, "isdir", lambda path: path == str(folder.parent.parent))
    one = JobRecord(JOB)
    one.append(bytes(16))
    assert len(list(folder.iterdir())) == 1
    one.close(is_over=True)
    assert list(folder.iterdir()) == []


def test_folders_that_another_copy_uses_stay(folder):
    one, other = JobRecord(JOB), JobRecord(bytes(32))
    one.append(bytes(16))
    other.append(bytes(16))
    one.close(is_over=True)
    assert len(list(folder.iterdir())) == 1
    other.close(bytes(16), is_over=False)
    assert read(bytes(32)) == bytes(32)


@pytest.mark.parametrize("is_over", [True, False])
def test_short_copy_leaves_no_trace(folder, tmp_path, monkeypatch, is_over):
    monkeypatch.setattr(record, "_SHORT_S", 60.0)
    one = JobRecord(JOB)
    assert not one.is_due
    one.close(bytes(16), is_over=is_over)
    assert list(tmp_path.iterdir()) == []


def test_short_copy_that_was_cut_off_leaves_what_has_arrived(folder, monkeypatch):
    monkeypatch.setattr(record, "_SHORT_S", 60.0)
    JobRecord(JOB).close(bytes(16), is_over=False, is_cut=True)
    assert read() == bytes(16)


def test_short_copy_that_was_cut_off_before_anything_came_leaves_no_trace(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "_SHORT_S", 60.0)
    JobRecord(JOB).close(is_over=False, is_cut=True)
    assert list(tmp_path.iterdir()) == []


def test_short_copy_adds_to_what_is_there(folder):
    one = JobRecord(JOB)
    one.append(bytes(16))
    one.close(is_over=False)
    again = JobRecord(JOB)
    assert again.read() == bytes(16)
    again.close(b"x" * 16, is_over=False)
    assert read() == bytes(16) + b"x" * 16
    os.truncate(next(folder.iterdir()), 16 + 20)  # torn
    assert read() == bytes(16)
