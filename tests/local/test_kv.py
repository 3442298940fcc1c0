"""Workers KV: values are stored as they were sent, survive kill -9, and errors have the codes of Cloudflare."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import Http

NAMESPACE = "0f2ac74b498b48028cb68387c421e279"


class Kv:
    """Sends requests for the values of one namespace."""

    def __init__(self, local: LocalVectorize, namespace: str = NAMESPACE) -> None:
        self._session = Http(local).session
        self._url = f"{local.base_url}/accounts/{local.account_id}/storage/kv/namespaces/{namespace}/values/"

    def get(self, key: str) -> requests.Response:
        return self._session.get(self._url + key, timeout=60)

    def put(self, key: str, **body: Any) -> requests.Response:
        return self._session.put(self._url + key, timeout=60, **body)


def error_of(response: requests.Response) -> tuple[int, int, str]:
    body = response.json()
    assert body["success"] is False
    return response.status_code, body["errors"][0]["code"], body["errors"][0]["message"]


@pytest.fixture
def kv(local_vectorize: LocalVectorize) -> Kv:
    return Kv(local_vectorize)


@pytest.mark.parametrize("value", [b"", b"text", b'{"success": false}', bytes(range(256))])
def test_kv_value_reads_back_byte_for_byte(kv: Kv, value: bytes) -> None:
    written = kv.put("docs", data=value, headers={"Content-Type": "text/plain"})
    assert (written.status_code, written.json()["success"], written.json()["result"]) == (200, True, None)
    response = kv.get("docs")
    assert (response.status_code, response.content) == (200, value)
    assert response.headers["Content-Type"] == "application/octet-stream"


def test_kv_value_is_replaced_and_belongs_to_its_key_and_namespace(kv: Kv, local_vectorize: LocalVectorize) -> None:
    for value in (b"old", b"new"):
        kv.put("a%2Fb", data=value)
    Kv(local_vectorize, "1" * 32).put("a%2Fb", data=b"other")
    assert kv.get("a%2Fb").content == b"new"
    assert error_of(kv.get("a")) == (404, 10009, "get: 'key not found'")


def test_kv_multipart_value_is_stored_without_its_metadata(kv: Kv) -> None:
    assert kv.put("docs", files={"value": (None, b"docs-a"), "metadata": (None, b"{}")}).status_code == 200
    assert kv.get("docs").content == b"docs-a"


def test_kv_errors_have_the_codes_of_cloudflare(kv: Kv, local_vectorize: LocalVectorize) -> None:
    assert error_of(kv.get("docs")) == (404, 10009, "get: 'key not found'")
    assert error_of(Kv(local_vectorize, "docs").get("docs"))[:2] == (400, 10011)
    assert error_of(Kv(local_vectorize, "docs").put("docs", data=b"x"))[:2] == (400, 10011)
    assert error_of(kv.put("k" * 513, data=b"x"))[:2] == (414, 10030)
    assert kv.put("k" * 512, data=b"x").status_code == 200


def test_kv_value_over_25_mib_is_refused(kv: Kv) -> None:
    assert error_of(kv.put("docs", data=bytes((25 << 20) + 1)))[:2] == (413, 413)
    assert kv.get("docs").status_code == 404


def test_kv_value_is_deleted_by_reset(kv: Kv, local_vectorize: LocalVectorize) -> None:
    kv.put("docs", data=b"x")
    local_vectorize.reset()
    assert kv.get("docs").status_code == 404


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalVectorize]:
    with LocalVectorize.start(tmp_path / "data", extra_args=["--read-only-token", "reader"]) as local:
        yield local


def test_kv_acknowledged_value_survives_kill_9_during_writes(server: LocalVectorize) -> None:
    acknowledged: list[int] = []
    enough = threading.Event()

    def write() -> None:
        kv = Kv(server)
        for number in range(100_000):
            try:
                response = kv.put("docs", data=str(number).encode())
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                return
            assert response.status_code == 200
            acknowledged.append(number)
            if len(acknowledged) == 20:
                enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(60)
    server.kill()
    writer.join()
    server.restart()
    # The request in flight may have been carried out without an answer.
    assert int(Kv(server).get("docs").content) in (acknowledged[-1], acknowledged[-1] + 1)


def test_kv_read_only_token_can_read_and_cannot_write(server: LocalVectorize) -> None:
    Kv(server).put("docs", data=b"x")
    server.token = "reader"
    assert Kv(server).get("docs").content == b"x"
    assert error_of(Kv(server).put("docs", data=b"y"))[:2] == (403, 9109)
