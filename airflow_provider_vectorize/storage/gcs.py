"""Google Cloud Storage, by exact keys and bytes as they are stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import quote, urlencode

from fsspec.asyn import sync

from airflow_provider_vectorize.storage.errors import StoreAnswerError, said
from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Answer, Changed, Entry, Missing
from airflow_provider_vectorize.storage.streams import patiently


class GcsStore:
    """Google Cloud Storage, through the session of a file system of gcsfs.

    :param fs: with the connection's credentials.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def stat(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """The object of exactly this key."""
        try:
            found = self._fs.call("GET", "b/{}/o/{}", bucket, key, json_out=True, generation=version)
        except Exception as error:
            if said(error).is_missing or (isinstance(error, FileNotFoundError) and error.errno is None):
                return None
            raise
        return _entry(found)

    def level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Objects and folders right below a prefix."""
        for page in self._pages(bucket, prefix=f"{prefix}{start}", delimiter="/"):
            yield from (Entry(folder, is_folder=True) for folder in page.get("prefixes", ()))
            yield from map(_entry, page.get("items", ()))

    def below(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """All objects below a prefix."""
        for page in self._pages(bucket, prefix=prefix):
            yield from map(_entry, page.get("items", ()))

    def fetch(self, location: Location, entry: Entry, start: int, end: int) -> Answer:
        """Bytes of the object, if it is still the one that was found."""
        found: Answer = patiently(lambda: sync(self._fs.loop, self._fetch, location, entry, start, end))
        return found

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Replace the object."""
        url = f"{self._fs._location}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        self._fs.call("POST", url, uploadType="media", name=key, data=content)

    def _pages(self, bucket: str, **asked: Any) -> Iterator[dict[str, Any]]:
        token = None
        while True:
            try:
                page = self._fs.call("GET", "b/{}/o", bucket, json_out=True, pageToken=token, maxResults=1000, **asked)
            except FileNotFoundError as error:
                raise StoreAnswerError(404, "NoSuchBucket", "") from error
            yield page
            if not (token := page.get("nextPageToken")):
                return

    async def _fetch(self, location: Location, entry: Entry, start: int, end: int) -> Answer:
        import aiohttp  # noqa: PLC0415 - comes with gcsfs
        from yarl import URL  # noqa: PLC0415 - as above

        fs = self._fs
        await fs._set_session()
        which = {"generation": location.version} if location.version else {"ifGenerationMatch": _generation(entry)}
        query = urlencode(fs._get_params({"alt": "media", **which}))
        place = f"{quote(location.bucket, safe='')}/o/{quote(location.key, safe='')}"
        response = await fs.session.get(
            URL(f"{fs._location}/download/storage/v1/b/{place}?{query}", encoded=True),
            # Asked like this, the store sends an object with a content encoding as it is stored, and in ranges.
            headers=fs._get_headers({"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "gzip"}),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60),
        )
        try:
            if response.status == 206:
                total = response.headers.get("Content-Range", "").rpartition("/")[2]
                return Answer(await response.read(), int(total) if total.isdigit() else None)
            if response.status == 416:
                return Answer(b"", start)
            if response.status == 404:
                raise Missing
            if response.status == 412:
                raise Changed
            if response.status >= 400:
                raise _error(response.status, await response.read())
            data = await response.content.read(end - start)
        except BaseException:
            response.close()
            raise

        def read(size: int) -> bytes:
            piece: bytes = sync(fs.loop, response.content.read, size)
            return piece

        return Answer(data, None, read)


def _entry(found: dict[str, Any]) -> Entry:
    size = int(found["size"]) if found.get("size") is not None else None
    stamp = next((str(found[name]) for name in ("generation", "etag", "md5Hash", "updated") if found.get(name)), "")
    marks = not size and found["name"].endswith("/")
    return Entry(found["name"], size, stamp, found.get("contentEncoding") or "", is_folder=marks)


def _generation(entry: Entry) -> str | None:
    return entry.stamp if entry.stamp.isdigit() else None


def _error(status: int, body: bytes) -> StoreAnswerError:
    text = body.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        return StoreAnswerError(status, "", error["message"] if isinstance(error, dict) else str(error))
    except (ValueError, KeyError, TypeError):
        return StoreAnswerError(status, "", text)
