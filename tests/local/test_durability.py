"""Acknowledged writes survive crashes and restarts of the server."""

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
def server(tmp_path: Path) -> Iterator[LocalVectorize]:
    with LocalVectorize.start(tmp_path / "data", lag=0.05) as local:
        yield local


def test_acknowledged_writes_survive_kill_9_during_writes(server: LocalVectorize) -> None:
    Http(server).create()
    acknowledged: dict[str, list[float]] = {}
    lock = threading.Lock()
    enough_acknowledged = threading.Event()

    def write(writer: int) -> None:
        http = Http(server)
        for n in range(10_000):
            vectors = {f"{writer}-{n}-{m}": values(writer, n, m) for m in range(20)}
            body = ndjson([{"id": id_, "values": numbers, "metadata": {"n": n}} for id_, numbers in vectors.items()])
            try:
                response = http.send("POST", "/books/upsert", data=body, headers=NDJSON)
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                return
            assert response.status_code == 200
            with lock:
                acknowledged.update(vectors)
                if len(acknowledged) >= 3_000:
                    enough_acknowledged.set()

    for _ in range(2):
        enough_acknowledged.clear()
        writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for writer in writers:
            writer.start()
        assert enough_acknowledged.wait(60)
        server.kill()
        for writer in writers:
            writer.join()
        server.restart()
        server.process()
        dump = server.dump("books")
        for id_, numbers in acknowledged.items():
            assert dump[id_] == server.digest(numbers, None, {"n": int(id_.split("-")[1])})
        # Requests without a response may have been applied, but only completely.
        assert len(dump) % 20 == 0
        assert server.count("books") == len(dump)


def test_mutation_folded_before_kill_is_not_folded_again(server: LocalVectorize) -> None:
    http = Http(server)
    http.create()
    server.hold()
    http.upsert(vector("a", 1))
    server.process()
    http.upsert(vector("a", 2))
    server.kill()
    server.restart()
    assert [len(batch["mutation_ids"]) for batch in server.process()] in ([], [1])
    assert http.get("a")[0]["values"] == values(2)
    server.restart()
    assert server.process() == []
    assert http.info()["vectorCount"] == 1


def test_log_older_than_folded_state_is_not_folded_again(server: LocalVectorize, tmp_path: Path) -> None:
    http = Http(server)
    http.create()
    server.hold()
    http.upsert(vector("a", 1))
    http.insert(vector("b", 1))
    server.kill()
    for path in server.data_dir.glob("catalog*"):  # Back up the log before it is folded.
        shutil.copy(path, tmp_path)
    server.restart()
    server.process()
    before = http.info(), server.dump("books")
    server.kill()
    for path in server.data_dir.glob("catalog*"):
        path.unlink()
    for path in tmp_path.glob("catalog*"):
        shutil.copy(path, server.data_dir)
    server.restart()
    assert server.process() == []
    assert (http.info(), server.dump("books")) == before


def test_deleted_index_after_kill_stays_deleted_without_files(server: LocalVectorize, tmp_path: Path) -> None:
    http = Http(server)
    http.create()
    http.upsert(vector("a", 1))
    server.process()
    assert list((tmp_path / "data").glob("index-*"))
    http.ok("DELETE", "/books")
    server.kill()
    server.restart()
    assert http.send("GET", "/books").status_code == 410
    assert not list((tmp_path / "data").glob("index-*"))


def test_indexes_after_clean_restart_are_unchanged(server: LocalVectorize) -> None:
    http = Http(server)
    created = http.create()
    http.ok("POST", "/books/metadata_index/create", json={"propertyName": "n", "indexType": "number"})
    http.upsert(vector("a", 1, namespace="s", metadata={"n": 1}))
    server.process()
    before = http.info(), http.get("a"), http.query(values(1), returnMetadata="all")
    server.restart()
    assert http.ok("GET", "/books") == created
    assert (http.info(), http.get("a"), http.query(values(1), returnMetadata="all")) == before
