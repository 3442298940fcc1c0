"""Cloudflare's limits that local Vectorize enforces, and the source of each.

Sources: [D] Cloudflare's documentation, [L] observed on the live service, [G] guess.
"""

from __future__ import annotations

from dataclasses import dataclass

PRESETS: dict[str, int] = {  # [D] dimensions of each preset; the metric of all is cosine [G]
    "@cf/baai/bge-small-en-v1.5": 384,
    "@cf/baai/bge-base-en-v1.5": 768,
    "@cf/baai/bge-large-en-v1.5": 1024,
    "openai/text-embedding-ada-002": 1536,
    "cohere/embed-multilingual-v2.0": 768,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one local Vectorize. Override one with an option, such as ``--limit vectors_per_request=10``."""

    body_bytes: int = 100_000_000  # [D] 100 MB for each request
    vectors_per_request: int = 5_000  # [D]
    min_dimensions: int = 32  # [L] from the message of error 3001
    max_dimensions: int = 1_536  # [D]
    id_bytes: int = 64  # [D]
    namespace_bytes: int = 64  # [D]
    index_name_bytes: int = 64  # [D]
    indexes_per_account: int = 50_000  # [D]
    vectors_per_index: int = 20_000_000  # [D] 5 M until 2026
    namespaces_per_index: int = 50_000  # [D] 1,000 on the free plan
    metadata_bytes: int = 10_240  # [D] of compact JSON
    metadata_indexes: int = 10  # [D]
    indexed_string_bytes: int = 64  # [D] cut at a UTF-8 boundary
    ids_per_get: int = 20  # [L]
    ids_per_delete: int = 100  # [L]
    list_count: int = 1_000  # [D]
    default_list_count: int = 100  # [D]
    default_top_k: int = 5  # [D]
    top_k: int = 100  # [D]
    top_k_with_content: int = 50  # [D] with returnValues or returnMetadata=all
    filter_bytes: int = 2_048  # [D] the compact JSON must be shorter
    filter_key_characters: int = 512  # [D]
    vectors_per_batch: int = 200_000  # [D] of one run of the folding job
    mutations_per_batch: int = 1_000  # [D]
    kv_key_bytes: int = 512  # [D]
    kv_value_bytes: int = 26_214_400  # [D] 25 MiB
    cursor_seconds: int = 3_600  # [G] lifetime of the snapshot of a listing
