"""The account of the benchmarks, and the addresses of the sink."""

from __future__ import annotations

ACCOUNT = "0" * 32
TOKEN = "bench"  # noqa: S105


def base(port: int) -> str:
    return f"http://127.0.0.1:{port}/client/v4"


def url(port: int) -> str:
    return f"{base(port)}/accounts/{ACCOUNT}/vectorize/v2/indexes/bench/upsert"
