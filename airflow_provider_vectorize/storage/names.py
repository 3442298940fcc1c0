"""Names of objects, parsed once and by the storage's rules. A key is not a URL: no character of it means anything.

Text that comes from outside becomes a :class:`Location` here, and a location is never turned into text that is parsed
again, but for :meth:`Location.source`: it travels to another task, whose border it passes, and reads back unchanged.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.sources.parts import Part, split_part_name

#: Schemes that lead to the same store.
_SAME_STORE = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs", "adl": "abfs", "az": "abfs", "local": "file"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_EXACT = re.compile(r"exact(?:-([0-9a-f]{16}))?\+(.*)", re.DOTALL)
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_VERSIONS = {
    "s3": re.compile(r"(.+)\?versionId=([^/?&#]+)", re.DOTALL),
    "gs": re.compile(r"(.+)(?:#|\?generation=)([0-9]+)", re.DOTALL),
    "abfs": re.compile(r"(.+)\?version[iI]d=([^/?&#]+)", re.DOTALL),
}
#: Punctuation that means nothing in any name, nor to Jinja, which renders sources.
_PLAIN = frozenset("-_.=,+:@()!$&'~/;% ")
_SAFE = "/-_.=,+:@()!$&'~;"
_PATTERN = frozenset("*?[")


@dataclass(frozen=True)
class Location:
    """Where an object lies. Equal locations are the same object of the same store, seen with the same credentials.

    :param scheme: ``s3``, ``gs``, ``abfs``, ``file`` or another that Airflow knows.
    :param conn_id: the connection, if there is one; never of local files.
    :param bucket: bucket or container; empty for local files.
    :param key: the key, exactly; the absolute path of a local file.
    :param version: the version that was asked for, instead of the latest one.
    """

    scheme: str
    conn_id: str | None
    bucket: str
    key: str
    version: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine."""
        return self.scheme == "file"

    @property
    def uri(self) -> str:
        """Text for logs and errors: without the connection, on one line, and never parsed."""
        path = self.key if self.is_local else f"{self.bucket}/{self.key}"
        return visible(f"{self.scheme}://{path}{self._version_suffix}")

    @property
    def asset_uri(self) -> str:
        """A URI for lineage: escaped, since those who receive it parse it."""
        return f"{self.scheme}://{self.bucket}{'' if self.is_local else '/'}{_quote(self.key)}"

    @property
    def identity(self) -> str:
        """All of it, as text that is the same for the same location only."""
        return json.dumps([self.scheme, self.conn_id, self.bucket, self.key, self.version])

    def source(self, part: Part | None = None, digest: str = "") -> str:
        """The name that reads back as exactly this object, or this part of it.

        :param part: a part of the object.
        :param digest: of the object's version, if the part belongs to that version only.
        """
        plain = _is_plain(self.key) and not self.version and not part
        key = self.key if plain else _quote(self.key)
        prefix = "" if plain else f"exact-{digest}+" if digest else "exact+"
        conn = f"{quote(self.conn_id, safe='')}@" if self.conn_id else ""
        place = "" if self.is_local else f"{conn}{self.bucket}/"
        version = f"?versionId={_quote(self.version)}" if self.version else ""
        return f"{prefix}{self.scheme}://{place}{key}{version}{f'#bytes={part.start}-{part.end}' if part else ''}"

    @property
    def _version_suffix(self) -> str:
        return f"{'#' if self.scheme == 'gs' else '?versionId='}{self.version}" if self.version else ""


@dataclass(frozen=True)
class Name:
    """What one name of a source may mean. Which of its meanings holds only the store knows.

    :param location: with all of the name as key. An object of exactly this key comes before all other meanings.
    :param exact: the name was written by a plan, so it has no other meaning.
    :param part: of the object, in an exact name.
    :param digest: of the object's version, in an exact name.
    """

    location: Location
    exact: bool = False
    part: Part | None = None
    digest: str = ""

    @property
    def as_part(self) -> Name | None:
        """The same, where the name's end is read as that of a part."""
        key, part = split_part_name(self.location.key)
        return Name(replace(self.location, key=key), part=part) if part else None

    @property
    def as_version(self) -> Location | None:
        """The location, where the name's end is read as the version that is asked for."""
        pattern = _VERSIONS.get(self.location.scheme)
        found = pattern.fullmatch(self.location.key) if pattern else None
        return replace(self.location, key=found[1], version=found[2]) if found else None

    @property
    def is_pattern(self) -> bool:
        """Whether it can be read as a pattern."""
        return not self.exact and bool(_PATTERN & set(self.location.key))


def parse(name: str, conn_id: str | None = None) -> Name:
    """What a name means, without asking any store.

    :param name: a URI or a path.
    :param conn_id: the connection, unless the name holds one: that of the name wins.
    :raises ConfigError: it names nothing that could be an object.
    """
    _check_text(name)
    if found := _EXACT.fullmatch(name):
        return _parse_exact(name, found[2], found[1] or "")
    if _WINDOWS.match(name):
        raise ConfigError(
            f"{visible(name)} is a Windows path, which this machine cannot open: give a path of this machine, such as "
            "/data/a.ndjson, or the URI of an object store."
        )
    if not (found := _SCHEME.fullmatch(name)):
        if _SCHEME.fullmatch(name.strip()):
            raise ConfigError(f"The source {name!r} begins with a space or a line break: remove it.")
        scheme, separator, path = name.partition(":/")
        local = f"/{path}" if separator and scheme in ("file", "local") else name
        return Name(Location("file", None, "", _absolute(local)))
    scheme, rest = found[1].lower(), found[2]
    scheme = _SAME_STORE.get(scheme, scheme)
    if scheme in ("http", "https", "ftp"):
        raise ConfigError(
            f"{visible(name)} is an address of the web, which is not read from here: give the object's URI in its "
            "store, such as s3://BUCKET/KEY, or download it first."
        )
    if scheme == "file":
        return Name(Location("file", None, "", _absolute(_without_host(name, rest))))
    bucket, of_name, key = _split(rest)
    _check_object(scheme, bucket, key, name)
    return Name(Location(scheme, of_name or conn_id, bucket, key))


def visible(text: str) -> str:
    """The text on one line, with everything escaped that cannot be seen or encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def masked_connection(conn_id: str) -> str:
    """A connection's id for messages: what follows a colon may be a secret that does not belong there."""
    head, colon, _ = conn_id.partition(":")
    return f"{head}:***" if colon else conn_id


def _parse_exact(name: str, rest: str, digest: str) -> Name:
    whole, part = split_part_name(rest)
    found = _SCHEME.fullmatch(whole)
    if not found:
        raise ConfigError(f"{visible(name)} is not a name that a plan writes. Plan again.")
    path, _, version = found[2].partition("?versionId=")
    scheme, asked = found[1], _unquote(version) if version else None
    if scheme == "file":
        location = Location("file", None, "", _unquote(path))
    else:
        bucket, conn_id, key = _split(path)
        location = Location(scheme, conn_id, bucket, _unquote(key), asked)
    return Name(location, True, part, digest)


def _split(rest: str) -> tuple[str, str | None, str]:
    """Bucket, connection and key."""
    authority, _, key = rest.partition("/")
    conn_id, _, bucket = authority.rpartition("@")
    return bucket, unquote(conn_id) or None, key


def _without_host(name: str, rest: str) -> str:
    host, separator, path = rest.partition("/")
    if not separator or host not in ("", "localhost"):
        raise ConfigError(
            f"{visible(name)} names the machine {visible(host)!r}, and files are read from this machine only: write "
            "file:///PATH, with three slashes."
        )
    return f"/{path}"


def _absolute(path: str) -> str:
    """The path from the root on, without what means nothing: ``//`` and ``/./``. Links may stand before ``..``."""
    full = os.path.expanduser(path)
    full = full if full.startswith("/") else os.path.join(os.getcwd(), full)
    steps = [step for step in full.split("/") if step not in ("", ".")]
    return "/" + "/".join(steps) + ("/" if steps and path.endswith("/") else "")


def _check_text(name: str) -> None:
    if "\0" in name:
        raise ConfigError(f"The source {name!r} holds a NUL character, which no object's name has.")
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ConfigError(f"The source {visible(name)} is not text that can be encoded as UTF-8.") from None


def _check_object(scheme: str, bucket: str, key: str, name: str) -> None:
    shown = visible(f"{scheme}://{bucket}/{key}")
    if not bucket:
        raise ConfigError(f"{shown} names no bucket: it has to look like {scheme}://BUCKET/KEY.")
    if _PATTERN & set(bucket):
        raise ConfigError(f"{shown} has a pattern as its bucket: name one bucket. Only keys can be patterns.")
    if not key:
        raise ConfigError(
            f"{visible(f'{scheme}://{bucket}')} is a bucket: name the objects in it, for instance with "
            f"{visible(f'{scheme}://{bucket}')}/*.ndjson."
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{shown} is not UTF-8, as all names in an object store are.") from None


def _is_plain(key: str) -> bool:
    """Whether the key reads as itself, whatever else is in the store."""
    return key == key.strip() and not key.endswith("/") and all(c.isalnum() or c in _PLAIN for c in key)


def _quote(text: str) -> str:
    return quote(text, safe=_SAFE, errors="surrogateescape")


def _unquote(text: str) -> str:
    return unquote(text, errors="surrogateescape")
