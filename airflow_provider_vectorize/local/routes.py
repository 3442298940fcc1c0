"""Routes of the API: method and path of each operation."""

from __future__ import annotations

BASE = "/client/v4"
INDEXES = BASE + "/accounts/{account}/vectorize/v2/indexes"
INDEX = INDEXES + "/{index}"
KV_VALUE = BASE + "/accounts/{account}/storage/kv/namespaces/{namespace}/values/{key:.+}"

ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", INDEXES, "list_indexes"),
    ("POST", INDEXES, "create_index"),
    ("GET", INDEX, "get_index"),
    ("DELETE", INDEX, "delete_index"),
    ("GET", INDEX + "/info", "info"),
    ("POST", INDEX + "/insert", "insert"),
    ("POST", INDEX + "/upsert", "upsert"),
    ("POST", INDEX + "/query", "query"),
    ("POST", INDEX + "/get_by_ids", "get_by_ids"),
    ("POST", INDEX + "/delete_by_ids", "delete_by_ids"),
    ("GET", INDEX + "/list", "list_vectors"),
    ("POST", INDEX + "/metadata_index/create", "create_metadata_index"),
    ("POST", INDEX + "/metadata_index/delete", "delete_metadata_index"),
    ("GET", INDEX + "/metadata_index/list", "list_metadata_indexes"),
    ("GET", KV_VALUE, "read_kv"),
    ("PUT", KV_VALUE, "write_kv"),
    ("GET", BASE + "/user/tokens/verify", "verify_token"),
)
"""Method, path and operation. The operation is the name of the handler, and faults match requests by it."""

WRITES = frozenset({
    "create_index", "delete_index", "insert", "upsert", "delete_by_ids", "create_metadata_index",
    "delete_metadata_index", "write_kv",
})  # fmt: skip
"""Operations that require a permission to write."""
