"""Azure Blob Storage, by exact keys and bytes as they are stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

from fsspec.asyn import sync

from airflow_provider_vectorize.storage.errors import said
from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Answer, Entry
from airflow_provider_vectorize.storage.streams import answer_of_refusal, patiently


class AzureStore:
    """Azure Blob Storage, through the client of a file system of adlfs.

    :param fs: with the connection's credentials.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def stat(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """The blob of exactly this name."""

        async def properties() -> Any:
            async with self._blob(bucket, key) as blob:
                return await blob.get_blob_properties(**({"version_id": version} if version else {}))

        try:
            found = sync(self._fs.loop, properties)
        except Exception as error:
            if said(error).is_missing:
                return None
            raise
        return _entry(found)._replace(key=key)

    def level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Blobs and folders right below a prefix."""
        return self._listed(bucket, "walk_blobs", name_starts_with=f"{prefix}{start}", delimiter="/")

    def below(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """All blobs below a prefix."""
        return self._listed(bucket, "list_blobs", name_starts_with=prefix)

    def fetch(self, location: Location, entry: Entry, start: int, end: int) -> Answer:
        """Bytes of the blob, if it is still the one that was found."""
        found: Answer = patiently(lambda: sync(self._fs.loop, self._fetch, location, entry, start, end))
        return found

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Replace the blob."""

        async def upload() -> None:
            async with self._blob(bucket, key) as blob:
                await blob.upload_blob(content, overwrite=True)

        sync(self._fs.loop, upload)

    async def _fetch(self, location: Location, entry: Entry, start: int, end: int) -> Answer:
        from azure.core import MatchConditions  # noqa: PLC0415 - comes with adlfs

        asked: dict[str, Any] = {"version_id": location.version} if location.version else {}
        if entry.stamp and not location.version:
            asked |= {"etag": f'"{entry.stamp}"', "match_condition": MatchConditions.IfNotModified}
        try:
            async with self._blob(location.bucket, location.key) as blob:
                stream = await blob.download_blob(offset=start, length=end - start, decompress=False, **asked)
                return Answer(await stream.readall(), stream.properties.size)
        except Exception as error:  # noqa: BLE001 - raised again, as what it means
            return answer_of_refusal(error, start)

    def _blob(self, bucket: str, key: str) -> Any:
        return self._fs.service_client.get_blob_client(container=bucket, blob=key)

    def _listed(self, bucket: str, method: str, **asked: Any) -> Iterator[Entry]:
        container = self._fs.service_client.get_container_client(container=bucket)
        pages: AsyncIterator[Any] = getattr(container, method)(include=["metadata"], **asked).by_page()

        async def page() -> list[Entry] | None:
            try:
                found = await anext(pages)
            except StopAsyncIteration:
                return None
            return [_entry(one) async for one in found]

        while (entries := sync(self._fs.loop, page)) is not None:
            yield from entries


def _entry(found: Any) -> Entry:
    if not hasattr(found, "etag"):  # what walk_blobs gives for a prefix
        return Entry(found.name, is_folder=True)
    folder = (found.metadata or {}).get("hdi_isfolder") == "true" or (not found.size and found.name.endswith("/"))
    encoding = found.content_settings.content_encoding or ""
    return Entry(found.name, found.size, str(found.etag).strip('"'), encoding, is_folder=folder)
