"""Parse the names of objects, once and by the rules of each storage. A key is not a URL: no character in it is special.

Text from outside becomes a :class:`Location` here. A location is never converted to text that is parsed again, with one
exception: :meth:`Location.source` returns a name for another task, which parses it to the same location.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.sources.parts import Part, split_part_name

_SCHEME_ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs", "adl": "abfs", "az": "abfs", "local": "file"}
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_EXACT = re.compile(r"exact(?:-([0-9a-f]{16}))?\+(.*)", re.DOTALL)
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_VERSION_SUFFIXES = {
    "s3": re.compile(r"(.+)\?versionId=([^/?&#]+)", re.DOTALL),
    "gs": re.compile(r"(.+)(?:#|\?generation=)([0-9]+)", re.DOTALL),
    "abfs": re.compile(r"(.+)\?version[iI]d=([^/?&#]+)", re.DOTALL),
}
#: Punctuation without a special meaning in any name or in Jinja, which renders sources.
_PLAIN_PUNCTUATION = frozenset("-_.=,+:@()!$&'~/;% ")
_NOT_QUOTED = "/-_.=,+:@()!$&'~;"
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Location:
    """Where an object is. Equal locations are the same object of the same store, accessed with the same credentials.

    :param scheme: ``s3``, ``gs``, ``abfs``, ``file`` or another scheme that Airflow knows.
    :param conn_id: Storage connection, if any. Always ``None`` for local files.
    :param bucket: Bucket or container. Empty for local files.
    :param key: Exact key of the object, or the absolute path of a local file.
    :param version: Version to read instead of the latest one.
    """

    scheme: str
    conn_id: str | None
    bucket: str
    key: str
    version: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the object is a file of this machine."""
        return self.scheme == "file"

    @property
    def uri(self) -> str:
        """Text for logs and errors: on one line, without the connection. It is never parsed."""
        path = self.key if self.is_local else f"{self.bucket}/{self.key}"
        return printable(f"{self.scheme}://{path}{self._version_suffix}")

    @property
    def asset_uri(self) -> str:
        """A URI for lineage. It is percent-encoded, because its receivers parse it."""
        return f"{self.scheme}://{self.bucket}{'' if self.is_local else '/'}{_quote(self.key)}"

    @property
    def identity(self) -> str:
        """Text with all fields, which is equal for equal locations only."""
        return json.dumps([self.scheme, self.conn_id, self.bucket, self.key, self.version])

    def source(self, part: Part | None = None, digest: str = "") -> str:
        """Return a name that :func:`parse` turns back into exactly this object, or this part of it.

        :param part: Part of the object, if not all of it.
        :param digest: Digest of the object's version, if the part belongs to this version only.
        """
        is_plain = _is_plain(self.key) and not self.version and not part
        key = self.key if is_plain else _quote(self.key)
        prefix = "" if is_plain else f"exact-{digest}+" if digest else "exact+"
        connection = f"{quote(self.conn_id, safe='')}@" if self.conn_id else ""
        authority = "" if self.is_local else f"{connection}{self.bucket}/"
        version = f"?versionId={_quote(self.version)}" if self.version else ""
        return f"{prefix}{self.scheme}://{authority}{key}{version}{f'#bytes={part.start}-{part.end}' if part else ''}"

    @property
    def _version_suffix(self) -> str:
        return f"{'#' if self.scheme == 'gs' else '?versionId='}{self.version}" if self.version else ""


@dataclass(frozen=True)
class Name:
    """The possible meanings of one name in a source. Only the store can tell which of them applies.

    :param location: Location with the complete name as its key. An object of exactly this key takes precedence over
        all other meanings.
    :param exact: Whether a plan wrote the name, so that it has no other meaning.
    :param part: Part of the object, in a name that a plan wrote.
    :param digest: Digest of the object's version, in a name that a plan wrote.
    """

    location: Location
    exact: bool = False
    part: Part | None = None
    digest: str = ""

    @property
    def as_part(self) -> Name | None:
        """The name with its end read as that of a part, or ``None`` if it does not end like one."""
        key, part = split_part_name(self.location.key)
        return Name(replace(self.location, key=key), part=part) if part else None

    @property
    def as_version(self) -> Location | None:
        """The location with the name's end read as a version, or ``None`` if it does not end like one."""
        pattern = _VERSION_SUFFIXES.get(self.location.scheme)
        match = pattern.fullmatch(self.location.key) if pattern else None
        return replace(self.location, key=match[1], version=match[2]) if match else None

    @property
    def is_folder(self) -> bool:
        """Whether the name can be read as a folder, which means all data objects in it."""
        return not self.exact and not self.part and not self.is_pattern and self.location.key.endswith("/")

    @property
    def is_pattern(self) -> bool:
        """Whether the name can be read as a pattern."""
        return not self.exact and bool(_WILDCARDS & set(self.location.key))


def parse(name: str, conn_id: str | None = None) -> Name:
    """Return the possible meanings of a name, without a request to any store.

    :param name: A URI or a path.
    :param conn_id: Storage connection. A connection in the name takes precedence.
    :raises ConfigError: The name cannot be that of an object.
    """
    _check_text(name)
    if exact := _EXACT.fullmatch(name):
        return _parse_exact(name, exact[2], exact[1] or "")
    if _WINDOWS_PATH.match(name):
        raise ConfigError(
            f"{printable(name)} is a Windows path, which this machine cannot open: give a path of this machine, such "
            "as /data/a.ndjson, or the URI of an object store."
        )
    if not (uri := _URI.fullmatch(name)):
        return _parse_path(name)
    scheme, rest = uri[1].lower(), uri[2]
    scheme = _SCHEME_ALIASES.get(scheme, scheme)
    if scheme in ("http", "https", "ftp"):
        raise ConfigError(
            f"{printable(name)} is a web address, which cannot be loaded: give the object's URI in its store, such as "
            "s3://BUCKET/KEY, or download it first."
        )
    if scheme == "file":
        return Name(Location("file", None, "", _absolute_path(_without_host(name, rest))))
    bucket, named_conn_id, key = _split_object_uri(rest)
    _check_object(scheme, bucket, key, name)
    return Name(Location(scheme, named_conn_id or conn_id, bucket, key))


def printable(text: str) -> str:
    """Return the text on one line, with all characters escaped that are invisible or cannot be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def mask_connection_id(conn_id: str) -> str:
    """Return a connection id for messages. Everything after a colon is masked: it may be a misplaced secret."""
    head, colon, _ = conn_id.partition(":")
    return f"{head}:***" if colon else conn_id


def _parse_path(name: str) -> Name:
    if _URI.fullmatch(name.strip()):
        raise ConfigError(f"The source {name!r} begins with a space or a line break: remove it.")
    scheme, separator, path = name.partition(":/")
    is_uri_without_host = separator and scheme in ("file", "local")
    return Name(Location("file", None, "", _absolute_path(f"/{path}" if is_uri_without_host else name)))


def _parse_exact(name: str, rest: str, digest: str) -> Name:
    object_uri, part = split_part_name(rest)
    uri = _URI.fullmatch(object_uri)
    if not uri:
        raise ConfigError(f"{printable(name)} is not a name that a plan writes. Create the plan again.")
    path, _, quoted_version = uri[2].partition("?versionId=")
    scheme, version = uri[1], _unquote(quoted_version) if quoted_version else None
    if scheme == "file":
        location = Location("file", None, "", _unquote(path))
    else:
        bucket, conn_id, key = _split_object_uri(path)
        location = Location(scheme, conn_id, bucket, _unquote(key), version)
    return Name(location, True, part, digest)


def _split_object_uri(rest: str) -> tuple[str, str | None, str]:
    """Split what follows ``://`` into bucket, connection id and key."""
    authority, _, key = rest.partition("/")
    conn_id, _, bucket = authority.rpartition("@")
    return bucket, unquote(conn_id) or None, key


def _without_host(name: str, rest: str) -> str:
    host, separator, path = rest.partition("/")
    if not separator or host not in ("", "localhost"):
        raise ConfigError(
            f"{printable(name)} names the host {printable(host)!r}, but only files of this machine can be loaded: "
            "write file:///PATH, with three slashes."
        )
    return f"/{path}"


def _absolute_path(path: str) -> str:
    """Return the absolute path without empty and ``.`` segments. A ``..`` stays, because it may follow a link."""
    full_path = os.path.expanduser(path)
    full_path = full_path if full_path.startswith("/") else os.path.join(os.getcwd(), full_path)
    segments = [segment for segment in full_path.split("/") if segment not in ("", ".")]
    return "/" + "/".join(segments) + ("/" if segments and path.endswith("/") else "")


def _check_text(name: str) -> None:
    if "\0" in name:
        raise ConfigError(f"The source {name!r} contains a NUL character, which names of objects cannot contain.")
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ConfigError(f"The source {printable(name)} is not text that can be encoded as UTF-8.") from None


def _check_object(scheme: str, bucket: str, key: str, name: str) -> None:
    shown = printable(f"{scheme}://{bucket}/{key}")
    if not bucket:
        raise ConfigError(f"{shown} names no bucket: it must look like {scheme}://BUCKET/KEY.")
    if _WILDCARDS & set(bucket):
        raise ConfigError(f"{shown} has a pattern in place of its bucket: name one bucket. Only keys can be patterns.")
    if not key:
        raise ConfigError(
            f"{printable(f'{scheme}://{bucket}')} is a bucket: name the objects in it, for instance with "
            f"{printable(f'{scheme}://{bucket}')}/*.ndjson."
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{shown} is not UTF-8, but all names in an object store are.") from None


def _is_plain(key: str) -> bool:
    """Return whether the key, used as a name, always means itself, whatever other objects exist."""
    return key == key.strip() and not key.endswith("/") and all(c.isalnum() or c in _PLAIN_PUNCTUATION for c in key)


def _quote(text: str) -> str:
    return quote(text, safe=_NOT_QUOTED, errors="surrogateescape")


def _unquote(text: str) -> str:
    return unquote(text, errors="surrogateescape")
