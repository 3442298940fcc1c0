"""Cloudflare's limits and their sources. They may change: pass other :class:`Limits` instead of editing this file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of Vectorize as of November 2026. If the limits of your account differ, pass other values.

    :param vectors_per_request: Maximum number of vectors in one insert or upsert (docs, "Limits", HTTP API).
    :param bytes_per_request: Maximum size of a request body in bytes (docs, "Limits": 100 MB, taken as decimal).
    :param vectors_per_index: Maximum number of vectors in one index (docs, "Limits").
    :param ids_per_get: Maximum number of ids in one get_by_ids (observed: code 40007).
    :param ids_per_delete: Maximum number of ids in one delete_by_ids (observed: code 40007).
    :param list_page: Maximum number of ids in one page of a listing (OpenAPI description).
    :param id_bytes: Maximum length of the id of a vector in bytes (docs, "Limits").
    :param namespace_bytes: Maximum length of a namespace in bytes (docs, "Limits").
    :param index_name_bytes: Maximum length of the name of an index in bytes (docs, "Limits").
    :param metadata_bytes: Maximum size of the metadata of a vector, as compact JSON, in bytes (docs, "Limits", and
        code 40016).
    :param dimensions_min: Minimum number of dimensions of an index (code 3001).
    :param dimensions_max: Maximum number of dimensions of an index (docs, "Limits").
    :param top_k: Maximum number of matches of a query (docs, "Limits").
    :param top_k_full: Maximum number of matches of a query that returns values or all metadata (code 40025).
    :param filter_bytes: The compact JSON of a filter must have fewer bytes than this (docs, "Metadata filtering").
    :param filter_key_characters: Maximum length of a key of a filter in characters (docs, "Metadata filtering").
    :param index_name_pattern: Regular expression for the name of a new index. Names of existing indexes are not checked
        against it, because it comes from an older OpenAPI description and may have changed.
    :param late_seconds: Seconds after which an abandoned request is assumed never to be carried out. Writers wait for
        this time. Cloudflare publishes no such limit, so this is an assumption. 0 turns the waiting off.
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

#: Length of the window to which the request budget of an account applies, in seconds (docs, "API rate limits").
WINDOW_SECONDS = 300

#: Maximum number of vectors and mutations in one batch of the job that makes writes visible (docs, "Insert vectors").
VECTORS_FOLDED = 200_000
MUTATIONS_FOLDED = 1_000

#: Number of dimensions by preset (OpenAPI description).
PRESETS = {
    "@cf/baai/bge-small-en-v1.5": 384,
    "@cf/baai/bge-base-en-v1.5": 768,
    "@cf/baai/bge-large-en-v1.5": 1024,
    "openai/text-embedding-ada-002": 1536,
    "cohere/embed-multilingual-v2.0": 768,
}
