"""Assets: ``vectorize://<account id>/<index name>`` names an index to Airflow and to OpenLineage."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from airflow.providers.common.compat.sdk import Asset

SCHEME = "vectorize"


def asset_uri(account_id: str, index_name: str) -> str:
    """The URI of an index."""
    return f"{SCHEME}://{account_id}/{index_name}"


def create_asset(*, account_id: str, index_name: str, extra: dict[str, Any] | None = None) -> Asset:
    """The asset of an index, as hook lineage asks for it."""
    return Asset(uri=asset_uri(account_id, index_name), extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Airflow's check of an asset's URI.

    :raises ValueError: it does not name an account and an index.
    """
    index_name = uri.path.strip("/")
    if not uri.netloc or not index_name or "/" in index_name:
        raise ValueError("The URI of an index has to look like vectorize://<account id>/<index name>.")
    return uri._replace(netloc=uri.netloc.lower(), path=f"/{index_name}")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Any:
    """The OpenLineage dataset of an asset: the account is the namespace, the index the name."""
    # Only who uses OpenLineage has it.
    from airflow.providers.common.compat.openlineage.facet import Dataset  # noqa: PLC0415

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"{SCHEME}://{parts.netloc}", name=parts.path.strip("/"))
