"""Read and write Google Cloud Storage, by exact keys and with bytes as they are stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import quote, urlencode

from fsspec.asyn import sync

from airflow_provider_vectorize.storage.errors import StoreResponseError, store_failure
from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Entry, FetchedRange, ObjectChanged, ObjectMissing
from airflow_provider_vectorize.storage.streams import retry_interrupted


class GcsStore:
    """A store that calls Google Cloud Storage through the session of a gcsfs file system.

    :param fs: A gcsfs file system with the connection's credentials.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def get_entry(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """Return the object of exactly this key, or ``None`` if it does not exist."""
        try:
            resource = self._fs.call("GET", "b/{}/o/{}", bucket, key, json_out=True, generation=version)
        except Exception as error:
            if store_failure(error).is_missing or (isinstance(error, FileNotFoundError) and error.errno is None):
                return None
            raise
        return _entry(resource)

    def list_level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Yield the objects and folders directly below a prefix."""
        for page in self._pages(bucket, prefix=f"{prefix}{start}", delimiter="/"):
            yield from (Entry(folder, is_folder=True) for folder in page.get("prefixes", ()))
            yield from map(_entry, page.get("items", ()))

    def list_all(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """Yield all objects below a prefix."""
        for page in self._pages(bucket, prefix=prefix):
            yield from map(_entry, page.get("items", ()))

    def fetch_range(self, location: Location, entry: Entry, start: int, end: int) -> FetchedRange:
        """Return bytes of the object if it still has the entry's version."""
        fetched: FetchedRange = retry_interrupted(
            lambda: sync(self._fs.loop, self._fetch_range, location, entry, start, end)
        )
        return fetched

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Create or overwrite the object."""
        url = f"{self._fs._location}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        self._fs.call("POST", url, uploadType="media", name=key, data=content)

    def delete(self, bucket: str, key: str) -> None:
        """Delete the object, if it exists."""
        try:
            self._fs.call("DELETE", "b/{}/o/{}", bucket, key)
        except Exception as error:
            if not (store_failure(error).is_missing or isinstance(error, FileNotFoundError)):
                raise

    def _pages(self, bucket: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        token = None
        while True:
            try:
                page = self._fs.call(
                    "GET", "b/{}/o", bucket, json_out=True, pageToken=token, maxResults=1000, **arguments
                )
            except FileNotFoundError as error:
                raise StoreResponseError(404, "NoSuchBucket", "") from error
            yield page
            if not (token := page.get("nextPageToken")):
                return

    async def _fetch_range(self, location: Location, entry: Entry, start: int, end: int) -> FetchedRange:
        response = await self._get_media(location, entry, start, end)
        try:
            if response.status == 206:
                total = response.headers.get("Content-Range", "").rpartition("/")[2]
                return FetchedRange(await response.read(), int(total) if total.isdigit() else None)
            if response.status == 416:
                return FetchedRange(b"", start)
            if response.status == 404:
                raise ObjectMissing
            if response.status == 412:
                raise ObjectChanged
            if response.status >= 400:
                raise _response_error(response.status, await response.read())
            data = await response.content.read(end - start)
        except BaseException:
            response.close()
            raise

        def read(size: int) -> bytes:
            data: bytes = sync(self._fs.loop, response.content.read, size)
            return data

        return FetchedRange(data, None, read)

    async def _get_media(self, location: Location, entry: Entry, start: int, end: int) -> Any:
        import aiohttp  # noqa: PLC0415 - installed with gcsfs only
        from yarl import URL  # noqa: PLC0415 - installed with gcsfs only

        fs = self._fs
        await fs._set_session()
        if location.version:
            condition: dict[str, Any] = {"generation": location.version}
        else:
            condition = {"ifGenerationMatch": _generation(entry)}
        query = urlencode(fs._get_params({"alt": "media", **condition}))
        path = f"{quote(location.bucket, safe='')}/o/{quote(location.key, safe='')}"
        return await fs.session.get(
            URL(f"{fs._location}/download/storage/v1/b/{path}?{query}", encoded=True),
            # A client that accepts gzip gets an object with a content encoding as it is stored, and in ranges.
            headers=fs._get_headers({"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "gzip"}),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60),
        )


def _entry(resource: dict[str, Any]) -> Entry:
    size = int(resource["size"]) if resource.get("size") is not None else None
    fields = ("generation", "etag", "md5Hash", "updated")
    revision = next((str(resource[name]) for name in fields if resource.get(name)), "")
    is_folder_marker = not size and resource["name"].endswith("/")
    return Entry(resource["name"], size, revision, resource.get("contentEncoding") or "", is_folder=is_folder_marker)


def _generation(entry: Entry) -> str | None:
    return entry.revision if entry.revision.isdigit() else None


def _response_error(status: int, body: bytes) -> StoreResponseError:
    text = body.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        return StoreResponseError(status, "", error["message"] if isinstance(error, dict) else str(error))
    except (ValueError, KeyError, TypeError):
        return StoreResponseError(status, "", text)
