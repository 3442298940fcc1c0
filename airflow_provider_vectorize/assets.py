"""Assets: ``vectorize://<account id>/<index name>`` identifies an index in Airflow and OpenLineage."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from airflow.providers.common.compat.sdk import Asset

SCHEME = "vectorize"


def asset_uri(account_id: str, index_name: str) -> str:
    """Return the URI of an index."""
    return f"{SCHEME}://{account_id}/{index_name}"


def create_asset(*, account_id: str, index_name: str, extra: dict[str, Any] | None = None) -> Asset:
    """Return the asset of an index. Airflow's hook lineage calls this function."""
    return Asset(uri=asset_uri(account_id, index_name), extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check and normalize the URI of an asset. Airflow calls this function.

    :raises ValueError: The URI does not name an account and an index.
    """
    index_name = uri.path.strip("/")
    if not uri.netloc or not index_name or "/" in index_name:
        raise ValueError("The URI of an index must have the form vectorize://<account id>/<index name>.")
    return uri._replace(netloc=uri.netloc.lower(), path=f"/{index_name}")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Any:
    """Return the OpenLineage dataset of an asset. The account is its namespace, and the index is its name."""
    # OpenLineage is an optional dependency.
    from airflow.providers.common.compat.openlineage.facet import Dataset  # noqa: PLC0415

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"{SCHEME}://{parts.netloc}", name=parts.path.strip("/"))
