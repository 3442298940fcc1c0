"""The file that the provider itself writes: old or new, and always whole."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_vectorize.errors import ConfigError, SourceError

from .conftest import Place

ROOT = Path(__file__).parents[2]


def test_it_is_read_back_as_it_was_written_and_replaced_whole(place: Place) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    file = StoredFile(f"{place.base}/some/folder/bad.ndjson", place.conn_id)
    assert file.read() == b""
    for content in (b"long " * 100_000, b"short", b""):
        file.write(io.BytesIO(content))
        again = StoredFile(f"{place.base}/some/folder/bad.ndjson", place.conn_id)
        assert again.read() == content
        assert b"".join(again.pieces(7)) == content[:7]


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


@pytest.mark.parametrize("kind", ["link", "dangling link", "link to a folder", "pipe", "socket", "folder"])
def test_what_is_not_a_regular_file_is_refused_and_left_alone(
    airflow_home: object, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    path, other = tmp_path / "bad.ndjson", tmp_path / "other"
    other.write_bytes(b"precious")
    with contextlib.ExitStack() as stack:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            monkeypatch.chdir(tmp_path)  # the name of a socket is short
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind("bad.ndjson")
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to({"link": other, "dangling link": tmp_path / "gone", "link to a folder": tmp_path}[kind])
        before = path.lstat()
        file = StoredFile(str(path), None)
        said = r"bad\.ndjson is a (link|pipe|socket|folder), and a dead-letter file has"
        for use in (lambda: file.write(io.BytesIO(b"x")), file.read):
            with pytest.raises(ConfigError, match=said):
                use()
    assert path.lstat() == before
    assert other.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["bad.ndjson", "other"]


def test_a_folder_on_the_way_may_be_a_link(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    StoredFile(str(tmp_path / "link" / "bad.ndjson"), None).write(io.BytesIO(b"x"))
    assert (tmp_path / "real" / "bad.ndjson").read_bytes() == b"x"


def test_no_file_beside_it_is_touched(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "bad.ndjson.part").symlink_to(victim)
    (tmp_path / "worse.ndjson.part").write_bytes(b"a stranger's")
    for name in ("bad.ndjson", "worse.ndjson"):
        StoredFile(str(tmp_path / name), None).write(io.BytesIO(b"x"))
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "worse.ndjson.part").read_bytes() == b"a stranger's"
    assert (tmp_path / "bad.ndjson.part").is_symlink()
    assert len(os.listdir(tmp_path)) == 5


def test_nothing_is_left_when_writing_fails(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("no space")

    with pytest.raises(SourceError, match=r"bad\.ndjson cannot be written: no space\."):
        StoredFile(str(tmp_path / "bad.ndjson"), None).write(Failing())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["bad.ndjson", "./bad.ndjson", "deep/er/bad.ndjson", "x" * 248 + ".ndjson"])
def test_a_name_without_a_folder_is_a_file_of_the_working_directory(
    airflow_home: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    monkeypatch.chdir(tmp_path)
    file = StoredFile(name, None)
    file.write(io.BytesIO(b"x"))
    assert (tmp_path / name).read_bytes() == file.read() == b"x"
    assert file.uri == (tmp_path / name).as_uri()


def test_a_new_file_has_the_usual_mode_and_an_old_one_keeps_its_own(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import StoredFile

    new, old, usual = tmp_path / "new", tmp_path / "old", tmp_path / "usual"
    usual.touch()
    old.touch()
    old.chmod(0o640)
    for path in (new, old):
        StoredFile(str(path), None).write(io.BytesIO(b"x"))
    assert new.stat().st_mode == usual.stat().st_mode
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


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
