"""Every number of Cloudflare's, in one place, with its source. They drift: override them, do not edit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What Vectorize accepts (November 2026). Pass another one where your account's limits differ.

    :param vectors_per_request: vectors in one insert or upsert (docs, "Limits", HTTP API).
    :param bytes_per_request: bytes in one request's body (docs, "Limits": 100 MB, read as decimal).
    :param ids_per_get: ids in one get_by_ids (seen live: code 40007).
    :param ids_per_delete: ids in one delete_by_ids (seen live: code 40007).
    :param vectors_per_index: vectors in one index (docs, "Limits").
    :param list_page: ids in one page of a listing (OpenAPI description).
    :param id_bytes: bytes of a vector's id (docs, "Limits").
    :param namespace_bytes: bytes of a namespace (docs, "Limits").
    :param index_name_bytes: bytes of an index's name (docs, "Limits").
    :param metadata_bytes: bytes of a vector's metadata as compact JSON (docs, "Limits"; code 40016).
    :param dimensions_min: the least dimensions of an index (code 3001).
    :param dimensions_max: the most dimensions of an index (docs, "Limits").
    :param top_k: matches of one query (docs, "Limits").
    :param top_k_full: the same with values or all metadata (code 40025).
    :param filter_bytes: a filter's compact JSON has to be under this many bytes (docs, "Metadata filtering").
    :param filter_key_characters: characters of one key of a filter (docs, "Metadata filtering").
    :param index_name_pattern: regular expression for the name of a new index (an older OpenAPI description, so it may
        have changed: names of existing indexes are not checked against it).
    :param late_seconds: Seconds for which Vectorize may still carry out a write whose attempt got no answer. This is
        our own assumption: Cloudflare publishes no such limit. 0 turns the waiting for such requests off.
    """

    vectors_per_request: int = 5_000
    bytes_per_request: int = 100_000_000
    vectors_per_index: int = 20_000_000
    ids_per_get: int = 20
    ids_per_delete: int = 100
    list_page: int = 1_000
    id_bytes: int = 64
    namespace_bytes: int = 64
    index_name_bytes: int = 64
    metadata_bytes: int = 10_240
    dimensions_min: int = 32
    dimensions_max: int = 1_536
    top_k: int = 100
    top_k_full: int = 50
    filter_bytes: int = 2_048
    filter_key_characters: int = 512
    index_name_pattern: str = r"[a-z][a-z0-9_-]*[a-z0-9]"
    late_seconds: float = 120.0


LIMITS = Limits()

#: The length of the window for which the account has its budget of requests (docs, "API rate limits").
WINDOW_SECONDS = 300

#: What one batch of the job that makes writes visible takes at the most (docs, "Insert vectors").
VECTORS_FOLDED = 200_000
MUTATIONS_FOLDED = 1_000

#: Dimensions of the presets (OpenAPI description).
PRESETS = {
    "@cf/baai/bge-small-en-v1.5": 384,
    "@cf/baai/bge-base-en-v1.5": 768,
    "@cf/baai/bge-large-en-v1.5": 1024,
    "openai/text-embedding-ada-002": 1536,
    "cohere/embed-multilingual-v2.0": 768,
}
