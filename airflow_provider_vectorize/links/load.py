"""Links on the pages of tasks. The task pushes their URLs to XCom while it runs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, TaskInstanceKey, XCom

from airflow_provider_vectorize.storage.names import Location, parse

#: XCom keys of the URLs.
INDEX_LINK = "vectorize_index_link"
DEAD_LETTER_LINK = "vectorize_dead_letter_link"
STATE_LINK = "vectorize_state_link"
REPORT_LINK = "vectorize_report_link"


class PushedLink(BaseOperatorLink):
    """Base of links whose URL the task pushes to XCom. With ``xcom_key``, Airflow 3 shows them while the task runs."""

    xcom_key: str

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty string if the task has not pushed one."""
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


class VectorizeIndexLink(PushedLink):
    """Link to the index in Cloudflare's dashboard, or to the page of the local Vectorize."""

    name = "Vectorize index"
    xcom_key = INDEX_LINK


class VectorizeDeadLetterLink(PushedLink):
    """Link to the dead-letter file, if rows were written to it."""

    name = "Dead letters"
    xcom_key = DEAD_LETTER_LINK


class VectorizeSyncStateLink(PushedLink):
    """Link to the folder that holds the state of a sync, and the lists of deletions that wait for an approval."""

    name = "Sync state"
    xcom_key = STATE_LINK


class VectorizeReportLink(PushedLink):
    """Link to the report of a check, if it was written to a store that has a console."""

    name = "Check report"
    xcom_key = REPORT_LINK


def index_url(base_url: str, account_id: str, index_name: str) -> str:
    """Return the URL of the page that shows an index.

    :param base_url: API base URL. HTTPS means Cloudflare, possibly behind a gateway. Plain HTTP means the local
        Vectorize, whose page lists all its indexes.
    """
    url = urlsplit(base_url)
    if url.scheme == "http":
        return f"http://{url.netloc}/"
    return f"https://dash.cloudflare.com/{quote(account_id)}/ai/vectorize/{quote(index_name)}"


def object_url(target: Location | str) -> str:
    """Return the URL of an object in the console of its store. Airflow shows only links to web pages.

    :param target: Location or URI of the object.
    :return: An empty string if the store has no console.
    """
    location = parse(target).location if isinstance(target, str) else target
    bucket, key = quote(location.bucket), quote(location.key)
    if location.scheme == "s3":
        return f"https://s3.console.aws.amazon.com/s3/object/{bucket}?prefix={key}"
    if location.scheme == "gs":
        return f"https://console.cloud.google.com/storage/browser/_details/{bucket}/{key}"
    return ""


def folder_url(name: str) -> str:
    """Return the URL of a folder in the console of its store.

    :param name: URI of the folder.
    :return: An empty string if the store has no console.
    """
    location = parse(name.rstrip("/")).location
    bucket, key = quote(location.bucket), quote(location.key)
    if location.scheme == "s3":
        return f"https://s3.console.aws.amazon.com/s3/buckets/{bucket}?prefix={key}/"
    if location.scheme == "gs":
        return f"https://console.cloud.google.com/storage/browser/{bucket}/{key}"
    return ""
