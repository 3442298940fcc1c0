"""Field mapping: which fields of a source become the id, values, namespace and metadata of a vector. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_vectorize.errors import ConfigError

#: The fields of a vector. Sources in the format of Vectorize itself have them under these names.
VECTOR_FIELDS = ("id", "values", "namespace", "metadata")

FieldPath = tuple[str, ...]


@dataclass(frozen=True)
class Fields:
    """Paths of the fields of a vector in a row of the source.

    A path is a tuple of names. A name that is a number also selects an element of an array, counted from 0.

    :param id: Path of the id.
    :param values: Path of the values.
    :param namespace: Path of the namespace, or ``None`` for vectors without one.
    :param metadata: Path of an object that becomes the metadata, a mapping of metadata keys to paths, or ``None``.
    :param is_default: Whether the source has the format of Vectorize itself.
    """

    id: FieldPath = ("id",)
    values: FieldPath = ("values",)
    namespace: FieldPath | None = ("namespace",)
    metadata: FieldPath | Mapping[str, FieldPath] | None = ("metadata",)
    is_default: bool = True


DEFAULT_FIELDS = Fields()


def parse_fields(name: str, value: Any) -> Fields:
    """Return the mapping that a caller describes.

    :param name: Name of the parameter, for errors.
    :param value: ``None``, or a dict such as ``{"id": "custom_id", "values": "response.body.data.0.embedding",
        "namespace": "tenant", "metadata": "meta" | ["title", "url"] | {"title": "doc.title"}}``. ``id`` and ``values``
        default to their own names. Without ``namespace`` or ``metadata`` the vectors have none.
    :raises ConfigError: The value has another shape, or an unknown key.
    """
    if value is None:
        return DEFAULT_FIELDS
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a dict with the keys {', '.join(VECTOR_FIELDS)}, not {value!r}.")
    if unknown := [key for key in value if key not in VECTOR_FIELDS]:
        raise ConfigError(f"{name} has the unknown key {unknown[0]!r}. Its keys are {', '.join(VECTOR_FIELDS)}.")
    namespace = value.get("namespace")
    return Fields(
        id=_path(f"{name}['id']", value.get("id", "id")),
        values=_path(f"{name}['values']", value.get("values", "values")),
        namespace=None if namespace is None else _path(f"{name}['namespace']", namespace),
        metadata=_metadata(f"{name}['metadata']", value.get("metadata")),
        is_default=False,
    )


def path_text(path: FieldPath) -> str:
    """Return a path as a caller writes it: ``response.body.data.0.embedding``."""
    return ".".join(path)


def is_partitioned_by(uri: str, name: str) -> bool:
    """Return whether an object is in a folder of Hive's form, ``name=value/``. Such writers leave the field out of it.

    :param uri: URI of the object.
    :param name: Name of the field.
    """
    return f"/{name}=" in uri


def _metadata(name: str, value: Any) -> FieldPath | Mapping[str, FieldPath] | None:
    if value is None or isinstance(value, str):
        return None if value is None else _path(name, value)
    if isinstance(value, Mapping):
        return {_key(name, key): _path(f"{name}[{key!r}]", path) for key, path in value.items()}
    if isinstance(value, (list, tuple)):
        found: dict[str, FieldPath] = {}
        for item in value:
            path = _path(name, item)
            if path[-1] in found:
                raise ConfigError(
                    f"{name} names two fields that end in {path[-1]!r}: give them different keys with a dict, such as "
                    f'{{"{path[-1]}": "{path_text(path)}"}}.'
                )
            found[_key(name, path[-1], path)] = path
        return found
    raise ConfigError(f"{name} must be a path, a list of paths or a dict of metadata keys and paths, not {value!r}.")


def is_valid_metadata_key(key: str) -> bool:
    """Return whether Vectorize accepts a key in metadata."""
    return bool(key) and key[0] != "$" and "." not in key and '"' not in key


def _key(name: str, key: Any, path: FieldPath | None = None) -> str:
    """Return a key of metadata. Vectorize would refuse all rows with an invalid one.

    :param path: Path of which the key is the last name, or ``None`` if the caller chose the key.
    """
    if not isinstance(key, str) or not key:
        raise ConfigError(f"{name} has the key {key!r}: keys of metadata are non-empty text.")
    if not is_valid_metadata_key(key) or key.encode(errors="replace").decode() != key:
        hint = f' Choose another key with a dict, such as {{"key": "{path_text(path)}"}}.' if path else ""
        raise ConfigError(
            f"{name} has the key {key!r}: Vectorize refuses keys that begin with $, or have a dot, a double quote or "
            f"half of a surrogate pair.{hint}"
        )
    return key


def _path(name: str, value: Any) -> FieldPath:
    if not isinstance(value, str) or not all(value.split(".")):
        raise ConfigError(f"{name} must be the name of a field, or a path such as response.body.0, not {value!r}.")
    return tuple(value.split("."))
