"""What a sensor waits for: mutations, with what is known of each when the wait begins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.receipt import Sample

#: Mutation ids are UUIDs (seen live), in the usual spelling of 36 characters.
_MUTATION_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: Characters of an id that are kept to recognize it again. A collision can only delay or add a marker.
_PREFIX = 8
_NOT_A_RECEIPT = (
    "Pass the whole output of the task that wrote (mutation=load.output), not text that a template made of it: "
    "set render_template_as_native_obj=True on the DAG if you need a template."
)


@dataclass(frozen=True)
class Wait:
    """One mutation that a sensor waits for. Stands for all mutations of its load, deletion or list if ``sealed``.

    :param index_name: the index that it was written to.
    :param mutation_id: its id.
    :param created_on: ISO 8601, when this incarnation of the index was created, as read before the write; ``None``
        for a bare id, which is assumed to belong to the index as the sensor finds it.
    :param accepted_at: the server's clock at the acknowledgement, where it is known. A hint, never part of a proof.
    :param sealed: whether the mutation was sent after all others that it stands for had been acknowledged.
    :param own: prefixes of the ids of all mutations of the same write, separated by spaces.
    :param operation: what was written, for messages and for ``proof="read_back"``.
    :param vectors: number of vectors written or deleted, for messages; ``None`` where it is not known.
    :param samples: vectors to read back with ``proof="read_back"``.
    """

    index_name: str
    mutation_id: str
    created_on: str | None = None
    accepted_at: datetime | None = None
    sealed: bool = True
    own: str = ""
    operation: str = ""
    vectors: int | None = None
    samples: tuple[Sample, ...] = ()

    @property
    def several(self) -> bool:
        """Whether it stands for more than one mutation."""
        return " " in self.own

    def owns(self, mutation_id: str) -> bool:
        """Whether a mutation belongs to the same write. May answer yes for another one, once in four billion."""
        return mutation_id == self.mutation_id or mutation_id[:_PREFIX] in self.own

    def to_dict(self) -> dict[str, Any]:
        """JSON-plain, for the row of a trigger: no secret and no data."""
        accepted_at = self.accepted_at.isoformat() if self.accepted_at else None
        return asdict(self) | {"accepted_at": accepted_at, "samples": [asdict(sample) for sample in self.samples]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Wait:
        """Read :meth:`to_dict` back, also of another version of the provider.

        :raises ConfigError: it is not the description of a wait.
        """
        try:
            known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
            samples = tuple(_sample(one) for one in plain.get("samples") or ())
            return cls(**known | {"accepted_at": _time(plain.get("accepted_at")), "samples": samples})
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ConfigError(f"This is not the description of a wait: {error}.") from error


def waits_for(mutation: Any, index_name: str | None) -> list[Wait]:
    """Return what a sensor's ``mutation`` asks for.

    :param mutation: a receipt, what a write of the hook returned, a mutation id, or a list of these, also nested.
    :param index_name: the index: required for bare ids, and checked against receipts.
    :return: one wait for each write; none where nothing was written, such as for a deletion without ids.
    :raises ConfigError: it is something else, a receipt of another index, or an id without an index.
    """
    return _without_earlier(list(_waits(mutation, index_name)))


def _waits(mutation: Any, index_name: str | None) -> Iterable[tuple[Wait, Mapping[str, Any]]]:
    if mutation is None:
        raise ConfigError(
            "There is no mutation to wait for: the upstream task returned nothing. It has to return the receipt, and "
            "do_xcom_push must not be False."
        )
    if isinstance(mutation, Mapping):
        if mutation.get("mutation_id", "") is not None:
            yield _from_receipt(mutation, index_name), mutation
    elif isinstance(mutation, (str, bytes)):
        yield Wait(_index_of(index_name), mutation_id(mutation)), {}
    else:
        try:
            items = list(mutation)
        except TypeError:
            raise ConfigError(
                f"mutation has to be a receipt, a mutation id or a list of them, not {type(mutation).__name__}."
            ) from None
        for item in items:
            yield from _waits(item, index_name)


def mutation_id(value: Any) -> str:
    """Return a mutation id, after checking that it looks like one.

    :raises ConfigError: it does not; the sentence says what it may have been.
    """
    text = value.strip() if isinstance(value, str) else ""
    if _MUTATION_ID.fullmatch(text):
        return text
    if not text or text in ("None", "null"):
        raise ConfigError(f"There is no mutation to wait for: mutation is {value!r}. {_NOT_A_RECEIPT}")
    if text[0] in "{[(<":
        raise ConfigError(
            f"mutation is the text of a receipt or list ({text[:40]!r}…), not a mutation. {_NOT_A_RECEIPT}"
        )
    raise ConfigError(
        f"{text[:80]!r} is not a mutation id: Vectorize's ids are UUIDs of 36 characters. {_NOT_A_RECEIPT}"
    )


def _index_of(index_name: str | None) -> str:
    if not isinstance(index_name, str) or not index_name.strip() or index_name in ("None", "null"):
        raise ConfigError("A mutation id does not say which index it belongs to: set index_name, or pass the receipt.")
    return index_name


def _from_receipt(receipt: Mapping[str, Any], index_name: str | None) -> Wait:
    name = receipt.get("index_name")
    if "mutation_id" not in receipt or not isinstance(name, str) or not name:
        raise ConfigError(
            f"This is not a receipt: it has the keys {', '.join(map(str, list(receipt)[:8])) or '(none)'}, and "
            f"mutation_id and index_name are required. {_NOT_A_RECEIPT}"
        )
    if index_name not in (None, "", name):
        raise ConfigError(
            f'The receipt is of index "{name}", and index_name is "{index_name}": a mutation of one index never shows '
            "in another. Remove index_name, or pass the receipt of that index."
        )
    own = [str(one)[:_PREFIX] for one in receipt.get("mutation_ids") or ()]
    vectors = receipt.get("vectors")
    return Wait.from_dict({
        "index_name": name,
        "mutation_id": mutation_id(receipt["mutation_id"]),
        "created_on": receipt.get("created_on"),
        "accepted_at": receipt.get("accepted_at"),
        "sealed": bool(receipt.get("sealed", True)),
        "own": " ".join(own),
        "operation": str(receipt.get("operation") or ""),
        "vectors": vectors if isinstance(vectors, int) else None,
        "samples": receipt.get("samples") or (),
    })


def _without_earlier(found: Sequence[tuple[Wait, Mapping[str, Any]]]) -> list[Wait]:
    """Keep one wait for each mutation, and of the writes of one client only those that no later one stands for.

    A request that a process began after it had received the acknowledgement of another stands behind that one in
    the index's log, so its mutation is visible only when the other is.
    """
    latest: dict[tuple[str, str | None, Any], int] = {}
    own: dict[Any, list[str]] = {}
    for wait, plain in found:
        if plain.get("writer") and isinstance(plain.get("begun"), int):
            writer = (wait.index_name, wait.created_on, plain["writer"])
            latest[writer] = max(latest.get(writer, -1), plain["begun"])
            own.setdefault(writer, []).append(wait.mutation_id[:_PREFIX])
    kept: dict[Wait, None] = {}
    for wait, plain in found:
        writer = (wait.index_name, wait.created_on, plain.get("writer"))
        acknowledged = plain.get("acknowledged")
        if writer in latest:
            if isinstance(acknowledged, int) and acknowledged < latest[writer]:
                continue
            wait = replace(wait, own=" ".join(own[writer]))  # noqa: PLW2901 - the same wait, which knows its siblings
        kept[wait] = None
    return list(kept)


def _sample(plain: Mapping[str, Any]) -> Sample:
    return Sample(str(plain["id"]), str(plain["digest"]), bool(plain.get("new")))


def _time(text: str | None) -> datetime | None:
    time = datetime.fromisoformat(text) if text else None
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time
