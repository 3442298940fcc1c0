"""Read and write Azure Blob Storage, by exact keys and with bytes as they are stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

from fsspec.asyn import sync

from airflow_provider_vectorize.storage.errors import store_failure
from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Entry, FetchedRange
from airflow_provider_vectorize.storage.streams import range_after_error, retry_interrupted


class AzureStore:
    """A store that calls Azure Blob Storage through the client of an adlfs file system.

    :param fs: An adlfs file system with the connection's credentials.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def get_entry(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """Return the blob of exactly this name, or ``None`` if it does not exist."""

        async def get_properties() -> Any:
            async with self._blob(bucket, key) as blob:
                return await blob.get_blob_properties(**({"version_id": version} if version else {}))

        try:
            properties = sync(self._fs.loop, get_properties)
        except Exception as error:
            if store_failure(error).is_missing:
                return None
            raise
        return _entry(properties)._replace(key=key)

    def list_level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Yield the blobs and folders directly below a prefix."""
        return self._entries(bucket, "walk_blobs", name_starts_with=f"{prefix}{start}", delimiter="/")

    def list_all(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """Yield all blobs below a prefix."""
        return self._entries(bucket, "list_blobs", name_starts_with=prefix)

    def fetch_range(self, location: Location, entry: Entry, start: int, end: int) -> FetchedRange:
        """Return bytes of the blob if it still has the entry's version."""
        fetched: FetchedRange = retry_interrupted(
            lambda: sync(self._fs.loop, self._fetch_range, location, entry, start, end)
        )
        return fetched

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Create or overwrite the blob."""

        async def upload() -> None:
            async with self._blob(bucket, key) as blob:
                await blob.upload_blob(content, overwrite=True)

        sync(self._fs.loop, upload)

    def delete(self, bucket: str, key: str) -> None:
        """Delete the blob, if it exists."""

        async def remove() -> None:
            async with self._blob(bucket, key) as blob:
                await blob.delete_blob()

        try:
            sync(self._fs.loop, remove)
        except Exception as error:
            if not store_failure(error).is_missing:
                raise

    async def _fetch_range(self, location: Location, entry: Entry, start: int, end: int) -> FetchedRange:
        from azure.core import MatchConditions  # noqa: PLC0415 - installed with adlfs only

        conditions: dict[str, Any] = {"version_id": location.version} if location.version else {}
        if entry.revision and not location.version:
            conditions |= {"etag": f'"{entry.revision}"', "match_condition": MatchConditions.IfNotModified}
        try:
            async with self._blob(location.bucket, location.key) as blob:
                stream = await blob.download_blob(offset=start, length=end - start, decompress=False, **conditions)
                return FetchedRange(await stream.readall(), stream.properties.size)
        except Exception as error:  # noqa: BLE001 - range_after_error raises it again
            return range_after_error(error, start)

    def _blob(self, bucket: str, key: str) -> Any:
        return self._fs.service_client.get_blob_client(container=bucket, blob=key)

    def _entries(self, bucket: str, method: str, **arguments: Any) -> Iterator[Entry]:
        container = self._fs.service_client.get_container_client(container=bucket)
        pages: AsyncIterator[Any] = getattr(container, method)(include=["metadata"], **arguments).by_page()

        async def next_page() -> list[Entry] | None:
            try:
                page = await anext(pages)
            except StopAsyncIteration:
                return None
            return [_entry(properties) async for properties in page]

        while (entries := sync(self._fs.loop, next_page)) is not None:
            yield from entries


def _entry(properties: Any) -> Entry:
    if not hasattr(properties, "etag"):  # walk_blobs yields only the name of a folder
        return Entry(properties.name, is_folder=True)
    is_folder_marker = not properties.size and properties.name.endswith("/")
    is_folder = (properties.metadata or {}).get("hdi_isfolder") == "true" or is_folder_marker
    encoding = properties.content_settings.content_encoding or ""
    return Entry(properties.name, properties.size, str(properties.etag).strip('"'), encoding, is_folder=is_folder)
