"""Python's own sqlite3 on the same file, in the same process."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import sqlite3
import sys

import pytest

from duroxide import SqliteProvider


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_database_that_sqlite3_has_open_is_told_of_once(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.db"
    with caplog.at_level(logging.WARNING, "duroxide"):
        SqliteProvider.open(path).close()  # made, and open by nobody else
        assert caplog.records == []
        other, third = tmp_path / "other.db", tmp_path / "third.db"
        other.touch()
        third.touch()
        with contextlib.closing(sqlite3.connect(other)) as theirs:
            theirs.execute("SELECT 1 FROM sqlite_master").fetchall()
            SqliteProvider.open(third).close()  # another file
            assert caplog.records == []
            for _ in range(2):
                SqliteProvider.open(other).close()
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert str(other) in caplog.records[0].getMessage()
