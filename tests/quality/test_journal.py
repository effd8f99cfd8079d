"""The journal: appended to by several at once, never changed, read where nothing can be written."""

import multiprocessing
import os
import sqlite3
import sys
from datetime import UTC, datetime, timedelta

import pytest

from owtrend.errors import StoreError, UsageError
from owtrend.quality.journal import FILE, Action, Journal, database

HOSTILE = "'); DROP TABLE journal; -- <script>alert(1)</script>\n\x1b[31m"


def note(journal, number, **more):
    return journal.add(Action.ACCEPT, f"{number:012x}", **{"note": "why", "who": "me", "details": {}, **more})


@pytest.mark.parametrize("location", ["folder", "memory://journal"])
def test_entries_are_kept_in_order_as_they_were_given(tmp_path, location):
    journal = Journal(tmp_path if location == "folder" else location)
    assert (journal.entries(), journal.exists) == ([], False)
    first = note(journal, 1, note=HOSTILE, details={"runs": [1, 2]})
    second = journal.add(Action.UNDO_ACCEPT, first.subject, note="", who="you", details={})
    assert Journal(journal.location).entries() == [first, second]
    assert first.number < second.number
    assert abs(datetime.now(UTC) - first.time) < timedelta(minutes=1)


def test_a_journal_that_nobody_wrote_makes_no_file(tmp_path):
    assert Journal(tmp_path).entries() == []
    assert list(tmp_path.iterdir()) == []


def _add_many(location, who):
    for number in range(20):
        note(Journal(location), number, who=who)


@pytest.mark.slow
def test_processes_that_write_at_once_wait_for_each_other(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_many, args=(tmp_path, name)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = Journal(tmp_path).entries()
    assert [entry.number for entry in entries] == list(range(1, 41))
    assert sorted(entry.who for entry in entries) == ["a"] * 20 + ["b"] * 20


def test_a_writer_that_never_ends_is_an_error_in_the_end(tmp_path, monkeypatch):
    note(Journal(tmp_path), 1)
    monkeypatch.setattr(database, "_WAIT", 0.01)
    with sqlite3.connect(tmp_path / FILE, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"journal cannot be written \(database is locked\)"):
            note(Journal(tmp_path), 2)
        assert len(Journal(tmp_path).entries()) == 1
    other.close()


def test_a_folder_that_cannot_be_written_is_read_and_refuses_entries(tmp_path):
    entry = note(Journal(tmp_path), 1)
    (tmp_path / FILE).chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert Journal(tmp_path).entries() == [entry]
        if os.geteuid():  # root may write anywhere
            with pytest.raises(StoreError, match="journal cannot be written"):
                note(Journal(tmp_path), 2)
    finally:
        tmp_path.chmod(0o755)


def test_what_is_no_journal_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / FILE).write_text("no database" * 100)
    with pytest.raises(StoreError, match=f"{FILE}: the journal cannot be read .*; put a copy"):
        Journal(tmp_path).entries()
    (tmp_path / FILE).unlink()
    (tmp_path / "elsewhere").touch()
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="never elsewhere"):
        note(Journal(tmp_path), 1)


def test_an_entry_of_a_newer_owtrend_is_an_error(tmp_path):
    note(Journal(tmp_path), 1)
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("UPDATE journal SET action = 'dance'")
    other.close()
    with pytest.raises(StoreError, match="update owtrend"):
        Journal(tmp_path).entries()


def test_a_database_without_its_package_is_an_error_that_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    with pytest.raises(StoreError, match="needs the Python package MySQLdb") as error:
        Journal(tmp_path, "mysql://me:secret@localhost/x").entries()
    assert "secret" not in str(error.value)


def test_a_remote_store_needs_a_url_to_be_written(tmp_path):
    remote = Journal("s3://bucket/store")
    assert remote.entries() == []
    with pytest.raises(UsageError, match="name its URL as `journal`"):
        note(remote, 1)
    somewhere = f"sqlite:///{tmp_path / 'journal.db'}"
    entry = note(Journal("s3://bucket/store", somewhere), 1)
    assert Journal("s3://bucket/store", somewhere).entries() == [entry]


def test_bytes_that_are_no_text_are_refused(tmp_path):
    for note_, who in (("\udcff", "me"), ("x", "\udcff")):
        with pytest.raises(UsageError, match="expected UTF-8"):
            Journal(tmp_path).add(Action.COMMENT, "ab", note=note_, who=who, details={})
    assert Journal(tmp_path).entries() == []


def test_a_note_may_not_be_a_book(tmp_path):
    with pytest.raises(UsageError, match="at most 10,000"):
        note(Journal(tmp_path), 1, note="x" * 10_001)
