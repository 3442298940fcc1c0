"""What was acknowledged is there, whatever happens to the process."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import NDJSON, Http, ndjson, values, vector


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LocalVectorize]:
    with LocalVectorize.start(tmp_path / "data", lag=0.05) as local:
        yield local


def test_every_acknowledged_write_survives_kill_9_while_it_takes_writes(own: LocalVectorize) -> None:
    Http(own).create()
    acknowledged: dict[str, list[float]] = {}
    lock = threading.Lock()
    enough = threading.Event()

    def write(writer: int) -> None:
        http = Http(own)
        for n in range(10_000):
            mine = {f"{writer}-{n}-{m}": values(writer, n, m) for m in range(20)}
            body = ndjson([{"id": one, "values": numbers, "metadata": {"n": n}} for one, numbers in mine.items()])
            try:
                response = http.send("POST", "/books/upsert", data=body, headers=NDJSON)
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                return
            assert response.status_code == 200
            with lock:
                acknowledged.update(mine)
                if len(acknowledged) >= 3_000:
                    enough.set()

    for _ in range(2):
        enough.clear()
        writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for writer in writers:
            writer.start()
        assert enough.wait(60)
        own.kill()
        for writer in writers:
            writer.join()
        own.restart()
        own.process()
        dump = own.dump("books")
        for one, numbers in acknowledged.items():
            assert dump[one] == own.digest(numbers, None, {"n": int(one.split("-")[1])})
        # What was in flight may be there too, but only whole requests.
        assert len(dump) % 20 == 0
        assert own.count("books") == len(dump)


def test_a_mutation_folded_just_before_the_kill_is_not_folded_again(own: LocalVectorize) -> None:
    http = Http(own)
    http.create()
    own.hold()
    http.upsert(vector("a", 1))
    own.process()
    http.upsert(vector("a", 2))
    own.kill()
    own.restart()
    assert [len(batch["mutation_ids"]) for batch in own.process()] in ([], [1])
    assert http.get("a")[0]["values"] == values(2)
    own.restart()
    assert own.process() == []
    assert http.info()["vectorCount"] == 1


def test_a_log_that_is_behind_what_was_folded_is_not_folded_again(own: LocalVectorize, tmp_path: Path) -> None:
    http = Http(own)
    http.create()
    own.hold()
    http.upsert(vector("a", 1))
    http.insert(vector("b", 1))
    own.kill()
    for path in own.data_dir.glob("catalog*"):  # the log as it was before the fold
        shutil.copy(path, tmp_path)
    own.restart()
    own.process()
    before = http.info(), own.dump("books")
    own.kill()
    for path in own.data_dir.glob("catalog*"):
        path.unlink()
    for path in tmp_path.glob("catalog*"):
        shutil.copy(path, own.data_dir)
    own.restart()
    assert own.process() == []
    assert (http.info(), own.dump("books")) == before


def test_a_deleted_index_stays_deleted_and_leaves_no_files(own: LocalVectorize, tmp_path: Path) -> None:
    http = Http(own)
    http.create()
    http.upsert(vector("a", 1))
    own.process()
    assert list((tmp_path / "data").glob("index-*"))
    http.ok("DELETE", "/books")
    own.kill()
    own.restart()
    assert http.send("GET", "/books").status_code == 410
    assert not list((tmp_path / "data").glob("index-*"))


def test_indexes_keep_everything_over_a_clean_restart(own: LocalVectorize) -> None:
    http = Http(own)
    created = http.create()
    http.ok("POST", "/books/metadata_index/create", json={"propertyName": "n", "indexType": "number"})
    http.upsert(vector("a", 1, namespace="s", metadata={"n": 1}))
    own.process()
    before = http.info(), http.get("a"), http.query(values(1), returnMetadata="all")
    own.restart()
    assert http.ok("GET", "/books") == created
    assert (http.info(), http.get("a"), http.query(values(1), returnMetadata="all")) == before
