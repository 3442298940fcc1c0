"""The file that the provider itself writes: old or new, and always whole."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_vectorize.errors import SourceError

from .conftest import Place

ROOT = Path(__file__).parents[2]


def test_it_is_read_back_as_it_was_written_and_replaced_whole(place: Place) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    file = StoredFile(f"{place.base}/some/folder/bad.ndjson", place.conn_id)
    assert file.read() == b""
    for content in (b"long " * 100_000, b"short", b""):
        file.write(io.BytesIO(content))
        assert StoredFile(f"{place.base}/some/folder/bad.ndjson", place.conn_id).read() == content


def test_whoever_has_it_open_keeps_the_old_one_and_nothing_is_left_beside_it(
    airflow_home: object, tmp_path: Path
) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    file = StoredFile(str(tmp_path / "bad.ndjson"), None)
    file.write(io.BytesIO(b"old"))
    with open(tmp_path / "bad.ndjson", "rb") as reader:
        file.write(io.BytesIO(b"new"))
        assert reader.read() == b"old"
    assert file.read() == b"new"
    assert os.listdir(tmp_path) == ["bad.ndjson"]


def test_a_folder_that_takes_no_files_is_said_so(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError, match=r"file/bad.ndjson cannot be written: (File exists|Not a directory)"):
        StoredFile(str(tmp_path / "file" / "bad.ndjson"), None).write(io.BytesIO(b"x"))


def test_two_loads_that_share_a_file_do_not_lose_each_others_rows_without_a_word(place: Place) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    one, other = (StoredFile(f"{place.base}/bad.ndjson", place.conn_id) for _ in range(2))
    one.write(io.BytesIO(b"one"))
    one.write(io.BytesIO(b"one and one"))
    other.write(io.BytesIO(b"other"))
    with pytest.raises(
        SourceError, match=r"Somebody else writes to .*bad.ndjson, too: give each load a file of its own"
    ):
        one.write(io.BytesIO(b"one and one and one"))


@pytest.mark.slow
def test_a_kill_in_the_middle_leaves_the_old_one(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from airflow_provider_vectorize.storage import StoredFile
class Fatal:
    def read(self, size):
        if self.reads:
            os.kill(os.getpid(), signal.SIGKILL)
        self.reads = True
        return b"new" * 1000
    reads = False
StoredFile(sys.argv[1], None).write(Fatal())
"""
    path = tmp_path / "bad.ndjson"
    path.write_bytes(b"old")
    found = subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=False, capture_output=True)
    assert found.returncode == -9, found.stderr
    assert path.read_bytes() == b"old"
