"""Creation, description and deletion of indexes."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from .conftest import Http, vector


def test_create_index_returns_description_like_cloudflare(http: Http) -> None:
    created = http.create("books", 768, "dot-product")
    assert list(created) == ["created_on", "modified_on", "name", "description", "config"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", created["created_on"])
    assert created["config"] == {"dimensions": 768, "metric": "dot-product"}
    assert created["description"] == ""
    assert http.ok("GET", "/books") == created
    assert http.ok("GET", "") == [created]


@pytest.mark.parametrize(
    ("preset", "dimensions"),
    [
        ("@cf/baai/bge-small-en-v1.5", 384),
        ("@cf/baai/bge-base-en-v1.5", 768),
        ("@cf/baai/bge-large-en-v1.5", 1024),
        ("openai/text-embedding-ada-002", 1536),
        ("cohere/embed-multilingual-v2.0", 768),
    ],
)
def test_create_index_with_preset_has_its_dimensions(http: Http, preset: str, dimensions: int) -> None:
    body = {"name": "books", "description": "of all sorts", "config": {"preset": preset}}
    created = http.ok("POST", "", json=body)
    assert created["config"] == {"dimensions": dimensions, "metric": "cosine"}
    assert created["description"] == "of all sorts"


def test_new_index_has_no_watermark(http: Http) -> None:
    http.create()
    assert http.info() == {"dimensions": 32, "vectorCount": 0}


def test_deleted_index_returns_410_until_it_is_created_again(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1))
    assert http.ok("DELETE", "/books") is None
    for method, path in (
        ("GET", "/books"),
        ("GET", "/books/info"),
        ("GET", "/books/list"),
        ("DELETE", "/books"),
        ("GET", "/books/metadata_index/list"),
    ):
        response = http.send(method, path)
        assert (response.status_code, response.json()["errors"][0]["code"]) == (410, 3005), path
    assert http.ok("GET", "") == []
    http.create()
    assert http.info() == {"dimensions": 32, "vectorCount": 0}
    assert http.get("a") == []


def test_delete_index_discards_pending_mutations(http: Http) -> None:
    http.create()
    http.local.hold()
    http.upsert(vector("a", 1))
    http.ok("DELETE", "/books")
    http.create()
    assert http.local.process() == []
    assert http.info()["vectorCount"] == 0


def test_request_for_another_account_is_refused(http: Http) -> None:
    http.create()
    response = http.session.get(http.url("").replace(http.local.account_id, "f" * 32), timeout=10)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (403, 9109)


def test_unknown_index_name_with_special_characters_is_in_the_error(http: Http) -> None:
    name = 'a/b "ü" ?#%'
    response = http.send("GET", "/" + quote(name, safe=""))
    assert response.status_code == 404
    assert response.json()["errors"][0]["message"] == f'vectorize.index.not_found - Index name "{name}"'
