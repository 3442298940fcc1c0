"""Links on the pages of tasks. The task leaves their addresses in XCom while it runs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, TaskInstanceKey, XCom

from airflow_provider_vectorize.storage.names import Location, parse

#: Keys of the addresses in XCom.
INDEX_LINK = "vectorize_index_link"
DEAD_LETTER_LINK = "vectorize_dead_letter_link"


class VectorizeIndexLink(BaseOperatorLink):
    """Links to the index in Cloudflare's dashboard, or to the page of the local Vectorize."""

    name = "Vectorize index"
    #: Airflow 3 reads the address where the task leaves it when it starts, not only after the task has ended.
    xcom_key = INDEX_LINK

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing if the task has not left one."""
        return XCom.get_value(key=INDEX_LINK, ti_key=ti_key) or ""


class VectorizeDeadLetterLink(BaseOperatorLink):
    """Links to the file of dead letters, if there is one."""

    name = "Dead letters"
    xcom_key = DEAD_LETTER_LINK

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing if no row was bad."""
        return XCom.get_value(key=DEAD_LETTER_LINK, ti_key=ti_key) or ""


def index_url(base_url: str, account_id: str, index_name: str) -> str:
    """Return the address of the page that shows an index.

    :param base_url: The API's base URL. Cloudflare's API, and whatever stands before it, speaks HTTPS. The local
        Vectorize speaks plain HTTP, and its page lists all its indexes.
    """
    address = urlsplit(base_url)
    if address.scheme == "http":
        return f"http://{address.netloc}/"
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
