"""The writes of the tasks in a random world, by the real code: loads, deletions, metadata indexes and the hook."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.hooks.endpoints import Endpoints
from airflow_provider_vectorize.load import deletion, job
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.options import LoadOptions
from tests.support import DIMENSIONS, FileObject, FileTarget

from .actors import ActorWorld
from .service import TIMEOUT

#: Small pages, so that a write of a few vectors takes several requests.
LIMITS = Limits(vectors_per_request=2, ids_per_delete=2)
RETRY = RetryPolicy(total=400, first=1, longest=5)


@dataclass(frozen=True)
class Written:
    """What one task wrote.

    :param index_name: Name of the index.
    :param mutation: The return value that the sensor receives.
    :param expected: All acknowledged mutations of the task, which have to be applied when its sensor succeeds.
    :param bare: Whether the sensor has to assume that the index is still the incarnation that was written to.
    """

    index_name: str
    mutation: Any
    expected: tuple[str, ...]
    bare: bool = False


class HookEndpoints(Endpoints):
    """The endpoints of the hook, without Airflow."""

    def __init__(self, client: VectorizeClient) -> None:
        self._client = client

    def get_conn(self) -> VectorizeClient:
        return self._client


class Writers:
    """Writes to the indexes of a world.

    :param directory: Directory for source files.
    """

    def __init__(self, world: ActorWorld, rng: Random, directory: Path) -> None:
        self._world = world
        self._rng = rng
        self._directory = directory
        self._count = 0

    def write(self, index_name: str, kinds: Sequence[str] = ()) -> Written | None:
        """Write once.

        :param kinds: The kinds of writes to choose from. Default: all.
        :return: ``None`` if the write failed or wrote nothing.
        """
        kind = self._rng.choice(kinds or ("load", "load", "load", "delete", "metadata_index", "hook", "hook_list"))
        return self.run_task(index_name, getattr(self, f"_{kind}"))

    def run_task(self, index_name: str, task: Callable[[VectorizeClient, str], Any]) -> Written | None:
        """Run one task with its own client, and record its acknowledged mutations."""
        self._count += 1
        name = f"writer-{self._count}"
        limits = replace(LIMITS, late_seconds=self._rng.choice([0, 120]))
        client = self._world.client(name, retry=RETRY, timeout=TIMEOUT, limits=limits)
        try:
            mutation = task(client, index_name)
        except VectorizeError:
            return None
        expected = tuple(
            request.mutation_ids[0]
            for request in self._world.sent
            if request.client == name and request.fate.answer == "real" and request.mutation_ids
        )
        return Written(index_name, _through_xcom(mutation), expected) if expected else None

    def ids(self, count: int) -> list[str]:
        """Return ids that other tasks also write, or ids of this task only."""
        first = self._rng.choice([0, 0, 1_000 * self._count])
        return [f"v{first + number}" for number in range(count)]

    # ---------------------------------------------------------------- tasks

    def _load(self, client: VectorizeClient, index_name: str, ids: Sequence[str] = ()) -> dict[str, Any]:
        ids = ids or self.ids(self._rng.choice([1, 4, 8, 14]))
        same_values = self._rng.random() < 0.3
        rows = [
            {"id": vector_id, "values": [1.0 if same_values else self._rng.random()] * DIMENSIONS} for vector_id in ids
        ]
        if self._rng.random() < 0.5:  # rows that only Vectorize rejects, so that the last batch is refused
            rows += [{"id": f"bad{number}", "values": [1.0] * (DIMENSIONS + 1)} for number in range(2)]
        path = self._directory / f"source-{self._count}.ndjson"
        path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        options = LoadOptions(
            validation="off",
            dead_letters=DeadLetters(FileTarget(path.with_suffix(".dead_letters"))),
            max_in_flight=self._rng.choice([1, 2, 4]),
            limits=LIMITS,
        )
        operation = self._rng.choice(["upsert", "upsert", "insert"])
        index = client.get_index(index_name)
        return job.run(client, operation, index, [FileObject(path)], options).to_dict()

    def _delete(self, client: VectorizeClient, index_name: str, ids: Sequence[str] = ()) -> dict[str, Any]:
        return deletion.delete(client, index_name, ids or self.ids(self._rng.choice([1, 3, 6])))

    def _metadata_index(self, client: VectorizeClient, index_name: str) -> Mapping[str, Any]:
        return client.create_metadata_index(index_name, f"property{self._count}", "string")

    def _hook(self, client: VectorizeClient, index_name: str) -> Mapping[str, Any]:
        vector = {"id": self.ids(1)[0], "values": [self._rng.random()] * DIMENSIONS}
        return HookEndpoints(client).upsert(index_name, [vector])

    def _hook_list(self, client: VectorizeClient, index_name: str) -> list[Mapping[str, Any]]:
        return list(HookEndpoints(client).delete_by_ids(index_name, self.ids(self._rng.choice([2, 5, 7]))))

    def _load_then_delete(self, client: VectorizeClient, index_name: str) -> list[Any]:
        """Load, delete the same ids, and return both receipts."""
        ids = self.ids(4)
        loader = self._world.client(f"writer-{self._count}", retry=RETRY, timeout=TIMEOUT, limits=LIMITS)
        return [self._load(loader, index_name, ids), self._delete(client, index_name, ids)]

    def _two_upserts(self, client: VectorizeClient, index_name: str) -> list[Any]:
        """Upsert the same id twice in quick succession."""
        hook = HookEndpoints(client)
        return [hook.upsert(index_name, [{"id": "v0", "values": [value] * DIMENSIONS}]) for value in (0.5, 0.7)]

    def _at_once(self, client: VectorizeClient, index_name: str) -> list[Any]:
        """Make overlapping writes with one client. Return them in the order of their acknowledgement."""
        return self._overlapping(client, index_name)

    def _unsealed(self, client: VectorizeClient, index_name: str) -> dict[str, Any]:
        """Return a receipt of an earlier version, whose last mutation does not stand for the others."""
        mutations = self._overlapping(client, index_name)
        ids = [mutation.mutation_id for mutation in mutations]
        created_on = mutations[-1]["created_on"]
        return {"index_name": index_name, "mutation_id": ids[-1], "mutation_ids": ids, "created_on": created_on,
                "operation": "upsert", "sealed": False, "accepted_at": mutations[-1]["accepted_at"]}  # fmt: skip

    def _overlapping(self, client: VectorizeClient, index_name: str) -> list[Any]:
        hook, mutations, count = HookEndpoints(client), list[Any](), self._rng.choice([3, 5])

        def upsert(number: int) -> None:
            with suppress(VectorizeError):
                mutations.append(hook.upsert(index_name, [{"id": f"v{number}", "values": [0.5] * DIMENSIONS}]))
            unfinished.remove(number)

        unfinished = list(range(count))
        for number in range(count):
            self._world.start(lambda number=number: upsert(number), self._rng.uniform(0, 1))
        self._world.advance(10_000, lambda: not unfinished)
        if len(mutations) < count:
            raise VectorizeError("One of the writes failed.")
        return mutations


def _through_xcom(mutation: Any) -> Any:
    """Return a value as the sensor receives it from XCom."""
    return json.loads(json.dumps(mutation))
