"""Read and write S3, and stores with the same protocol, by exact keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from fsspec.asyn import sync

from airflow_provider_vectorize.storage.errors import store_failure
from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Entry, FetchedRange
from airflow_provider_vectorize.storage.streams import range_after_error, retry_interrupted


class S3Store:
    """A store that calls S3 through the client of an s3fs file system.

    :param fs: An s3fs file system with the connection's credentials.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def get_entry(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """Return the object of exactly this key, or ``None`` if it does not exist."""
        arguments = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        try:
            head = self._fs.call_s3("head_object", **arguments)
            size = head["ContentLength"]
        except Exception as error:
            failure = store_failure(error)
            if failure.is_missing:
                return None
            if not failure.status:
                raise
            # The response to a HEAD request has no body. Only the response to a GET request contains the reason.
            try:
                head = self._fs.call_s3("get_object", **arguments, Range="bytes=0-0")
            except Exception as get_error:
                if store_failure(get_error).is_missing:
                    return None
                raise
            head["Body"].close()
            size = _total(head)
        is_folder_marker = not size and key.endswith("/")
        return Entry(key, size, _revision(head), head.get("ContentEncoding") or "", is_folder=is_folder_marker)

    def list_level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Yield the objects and folders directly below a prefix."""
        for page in self._pages(Bucket=bucket, Prefix=f"{prefix}{start}", Delimiter="/"):
            yield from (Entry(folder["Prefix"], is_folder=True) for folder in page.get("CommonPrefixes", ()))
            yield from _entries(page)

    def list_all(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """Yield all objects below a prefix."""
        for page in self._pages(Bucket=bucket, Prefix=prefix):
            yield from _entries(page)

    def fetch_range(self, location: Location, entry: Entry, start: int, end: int) -> FetchedRange:
        """Return bytes of the object if it still has the entry's version."""
        return retry_interrupted(lambda: self._fetch_range(location, entry, start, end))

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Create or overwrite the object."""
        self._fs.call_s3("put_object", Bucket=bucket, Key=key, Body=content)

    def delete(self, bucket: str, key: str) -> None:
        """Delete the object, if it exists."""
        self._fs.call_s3("delete_object", Bucket=bucket, Key=key)

    def _fetch_range(self, location: Location, entry: Entry, start: int, end: int) -> FetchedRange:
        conditions = {"IfMatch": f'"{entry.revision}"'} if entry.revision else {}
        if location.version:
            conditions["VersionId"] = location.version
        try:
            response = self._fs.call_s3(
                "get_object", Bucket=location.bucket, Key=location.key, Range=f"bytes={start}-{end - 1}", **conditions
            )
        except Exception as error:  # noqa: BLE001 - range_after_error raises it again
            return range_after_error(error, start)
        body = response["Body"]

        def read(size: int) -> bytes:
            data: bytes = sync(self._fs.loop, body.read, size)
            return data

        if "ContentRange" not in response:
            return FetchedRange(read(end - start), None, read)
        try:
            data: bytes = sync(self._fs.loop, body.read)
            return FetchedRange(data, _total(response))
        finally:
            body.close()

    def _pages(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._fs.call_s3("list_objects_v2", **arguments)
            yield page
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]


def _entries(page: dict[str, Any]) -> Iterator[Entry]:
    for listed in page.get("Contents", ()):
        is_folder_marker = not listed["Size"] and listed["Key"].endswith("/")
        yield Entry(listed["Key"], listed["Size"], _revision(listed), None, is_folder=is_folder_marker)


def _revision(response: dict[str, Any]) -> str:
    return str(response.get("ETag") or response.get("LastModified") or "").strip('"')


def _total(response: dict[str, Any]) -> int | None:
    total = str(response.get("ContentRange", "")).rpartition("/")[2]
    return int(total) if total.isdigit() else None
