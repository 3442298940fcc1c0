"""Links on a load's task page. The task leaves their addresses in XCom while it runs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, TaskInstanceKey, XCom

from airflow_provider_vectorize.storage.names import Location, parse

#: Keys of the addresses in XCom.
INDEX_LINK = "vectorize_index_link"
DEAD_LETTER_LINK = "vectorize_dead_letter_link"


class VectorizeIndexLink(BaseOperatorLink):
    """To the index in Cloudflare's dashboard."""

    name = "Vectorize index"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The address, or nothing where the task did not come so far."""
        return XCom.get_value(key=INDEX_LINK, ti_key=ti_key) or ""


class VectorizeDeadLetterLink(BaseOperatorLink):
    """To the file of dead letters, where there is one."""

    name = "Dead letters"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The address, or nothing where no row was bad."""
        return XCom.get_value(key=DEAD_LETTER_LINK, ti_key=ti_key) or ""


def dashboard_url(account_id: str, index_name: str) -> str:
    """Where Cloudflare's dashboard shows an index."""
    return f"https://dash.cloudflare.com/{quote(account_id)}/ai/vectorize/{quote(index_name)}"


def object_url(place: Location | str) -> str:
    """Where a browser finds an object: the store's console, where it has one; Airflow shows no links but of the web.

    :param place: the object, or its name.
    """
    location = parse(place).location if isinstance(place, str) else place
    bucket, key = quote(location.bucket), quote(location.key)
    if location.scheme == "s3":
        return f"https://s3.console.aws.amazon.com/s3/object/{bucket}?prefix={key}"
    if location.scheme == "gs":
        return f"https://console.cloud.google.com/storage/browser/_details/{bucket}/{key}"
    return ""
