"""Tests of the dead-letter file: readers see the old or the new content, and always all of it."""

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

from .conftest import StorageFolder

ROOT = Path(__file__).parents[2]


def test_write_replaces_all_content(folder: StorageFolder) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    file = DeadLetterFile(f"{folder.base}/some/folder/bad.ndjson", folder.conn_id)
    assert file.read() == b""
    for content in (b"long " * 100_000, b"short", b""):
        file.write(io.BytesIO(content))
        again = DeadLetterFile(f"{folder.base}/some/folder/bad.ndjson", folder.conn_id)
        assert again.read() == content
        assert b"".join(again.pieces(7)) == content[:7]


def test_write_keeps_content_for_open_readers_and_leaves_no_temporary_file(
    airflow_home: object, tmp_path: Path
) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    file = DeadLetterFile(str(tmp_path / "bad.ndjson"), None)
    file.write(io.BytesIO(b"old"))
    with open(tmp_path / "bad.ndjson", "rb") as reader:
        file.write(io.BytesIO(b"new"))
        assert reader.read() == b"old"
    assert file.read() == b"new"
    assert os.listdir(tmp_path) == ["bad.ndjson"]


def test_write_into_a_file_as_folder_raises(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError, match=r"file/bad.ndjson cannot be written: (File exists|Not a directory)"):
        DeadLetterFile(str(tmp_path / "file" / "bad.ndjson"), None).write(io.BytesIO(b"x"))


def test_write_after_another_writer_raises(folder: StorageFolder) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    first, second = (DeadLetterFile(f"{folder.base}/bad.ndjson", folder.conn_id) for _ in range(2))
    first.write(io.BytesIO(b"one"))
    first.write(io.BytesIO(b"one and one"))
    second.write(io.BytesIO(b"other"))
    with pytest.raises(
        SourceError, match=r"Another process also writes to .*bad.ndjson: give each load its own dead-letter file"
    ):
        first.write(io.BytesIO(b"one and one and one"))


@pytest.mark.parametrize("kind", ["link", "dangling link", "link to a folder", "pipe", "socket", "folder"])
def test_read_and_write_not_a_regular_file_raise_and_change_nothing(
    airflow_home: object, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    path, other = tmp_path / "bad.ndjson", tmp_path / "other"
    other.write_bytes(b"precious")
    with contextlib.ExitStack() as stack:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            monkeypatch.chdir(tmp_path)  # The path of a socket is limited to about 100 bytes.
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind("bad.ndjson")
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to({"link": other, "dangling link": tmp_path / "gone", "link to a folder": tmp_path}[kind])
        before = path.lstat()
        file = DeadLetterFile(str(path), None)
        message = r"bad\.ndjson is a (link|pipe|socket|folder), but only a regular file"
        for use in (lambda: file.write(io.BytesIO(b"x")), file.read):
            with pytest.raises(ConfigError, match=message):
                use()
    assert path.lstat() == before
    assert other.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["bad.ndjson", "other"]


def test_write_through_linked_parent_folder_succeeds(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    DeadLetterFile(str(tmp_path / "link" / "bad.ndjson"), None).write(io.BytesIO(b"x"))
    assert (tmp_path / "real" / "bad.ndjson").read_bytes() == b"x"


def test_write_changes_no_other_file(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "bad.ndjson.part").symlink_to(victim)
    (tmp_path / "worse.ndjson.part").write_bytes(b"a stranger's")
    for name in ("bad.ndjson", "worse.ndjson"):
        DeadLetterFile(str(tmp_path / name), None).write(io.BytesIO(b"x"))
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "worse.ndjson.part").read_bytes() == b"a stranger's"
    assert (tmp_path / "bad.ndjson.part").is_symlink()
    assert len(os.listdir(tmp_path)) == 5


def test_write_failure_leaves_no_file(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("no space")

    with pytest.raises(SourceError, match=r"bad\.ndjson cannot be written: no space\."):
        DeadLetterFile(str(tmp_path / "bad.ndjson"), None).write(Failing())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["bad.ndjson", "./bad.ndjson", "deep/er/bad.ndjson", "x" * 248 + ".ndjson"])
def test_relative_path_is_resolved_in_working_directory(
    airflow_home: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    monkeypatch.chdir(tmp_path)
    file = DeadLetterFile(name, None)
    file.write(io.BytesIO(b"x"))
    assert (tmp_path / name).read_bytes() == file.read() == b"x"
    assert file.uri == (tmp_path / name).as_uri()


def test_write_keeps_mode_of_existing_file_and_gives_new_one_the_default(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import DeadLetterFile

    new, old, usual = tmp_path / "new", tmp_path / "old", tmp_path / "usual"
    usual.touch()
    old.touch()
    old.chmod(0o640)
    for path in (new, old):
        DeadLetterFile(str(path), None).write(io.BytesIO(b"x"))
    assert new.stat().st_mode == usual.stat().st_mode
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


@pytest.mark.slow
def test_write_killed_halfway_keeps_old_content(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from airflow_provider_vectorize.storage import DeadLetterFile
class Fatal:
    def read(self, size):
        if self.reads:
            os.kill(os.getpid(), signal.SIGKILL)
        self.reads = True
        return b"new" * 1000
    reads = False
DeadLetterFile(sys.argv[1], None).write(Fatal())
"""
    path = tmp_path / "bad.ndjson"
    path.write_bytes(b"old")
    process = subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=False, capture_output=True)
    assert process.returncode == -9, process.stderr
    assert path.read_bytes() == b"old"
