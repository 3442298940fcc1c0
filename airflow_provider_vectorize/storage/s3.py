"""S3 and what speaks like it, by exact keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from fsspec.asyn import sync

from airflow_provider_vectorize.storage.errors import said
from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Answer, Entry
from airflow_provider_vectorize.storage.streams import answer_of_refusal, patiently


class S3Store:
    """S3, through the client of a file system of s3fs.

    :param fs: with the connection's credentials.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def stat(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """The object of exactly this key."""
        asked = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        try:
            head = self._fs.call_s3("head_object", **asked)
            size = head["ContentLength"]
        except Exception as error:
            answer = said(error)
            if answer.is_missing:
                return None
            if not answer.status:
                raise
            # The answer to a HEAD has no body, so the reason is in that to a GET only.
            try:
                head = self._fs.call_s3("get_object", **asked, Range="bytes=0-0")
            except Exception as reason:
                if said(reason).is_missing:
                    return None
                raise
            head["Body"].close()
            size = _total(head)
        marks = not size and key.endswith("/")
        return Entry(key, size, _stamp(head), head.get("ContentEncoding") or "", is_folder=marks)

    def level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Objects and folders right below a prefix."""
        for page in self._pages(Bucket=bucket, Prefix=f"{prefix}{start}", Delimiter="/"):
            yield from (Entry(one["Prefix"], is_folder=True) for one in page.get("CommonPrefixes", ()))
            yield from _entries(page)

    def below(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """All objects below a prefix."""
        for page in self._pages(Bucket=bucket, Prefix=prefix):
            yield from _entries(page)

    def fetch(self, location: Location, entry: Entry, start: int, end: int) -> Answer:
        """Bytes of the object, if it is still the one that was found."""
        return patiently(lambda: self._fetch(location, entry, start, end))

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Replace the object."""
        self._fs.call_s3("put_object", Bucket=bucket, Key=key, Body=content)

    def _fetch(self, location: Location, entry: Entry, start: int, end: int) -> Answer:
        conditions = {"IfMatch": f'"{entry.stamp}"'} if entry.stamp else {}
        if location.version:
            conditions["VersionId"] = location.version
        try:
            found = self._fs.call_s3(
                "get_object", Bucket=location.bucket, Key=location.key, Range=f"bytes={start}-{end - 1}", **conditions
            )
        except Exception as error:  # noqa: BLE001 - raised again, as what it means
            return answer_of_refusal(error, start)
        body = found["Body"]

        def read(size: int) -> bytes:
            piece: bytes = sync(self._fs.loop, body.read, size)
            return piece

        if "ContentRange" not in found:
            return Answer(read(end - start), None, read)
        try:
            data: bytes = sync(self._fs.loop, body.read)
            return Answer(data, _total(found))
        finally:
            body.close()

    def _pages(self, **asked: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._fs.call_s3("list_objects_v2", **asked)
            yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]


def _entries(page: dict[str, Any]) -> Iterator[Entry]:
    for one in page.get("Contents", ()):
        marks = not one["Size"] and one["Key"].endswith("/")
        yield Entry(one["Key"], one["Size"], _stamp(one), None, is_folder=marks)


def _stamp(found: dict[str, Any]) -> str:
    return str(found.get("ETag") or found.get("LastModified") or "").strip('"')


def _total(found: dict[str, Any]) -> int | None:
    total = str(found.get("ContentRange", "")).rpartition("/")[2]
    return int(total) if total.isdigit() else None
