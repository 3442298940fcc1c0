"""Compare the authoritative state of an index with the state of a sync and with its source."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson

from airflow_provider_vectorize.api.markers import PREFIX
from airflow_provider_vectorize.local.engine.records import Index, Kind, Mutation, Vector
from airflow_provider_vectorize.local.handle import ACCOUNT_ID
from airflow_provider_vectorize.rows.hashing import UNKNOWN, RowHasher
from airflow_provider_vectorize.sync.columns import read_columns
from airflow_provider_vectorize.sync.plans import deletions_name, read_ids
from airflow_provider_vectorize.sync.state import State, is_absorbed, read_state
from tests.visibility.world import World

from .sources import Truth
from .support import MemoryFolder

#: Content, parameter and hash of each vector by ID.
Vectors = dict[str, tuple[int, int, int]]


#: The content of vectors under IDs that other writers may use.
FOREIGN_CONTENT = range(100, 200)


class Inspection:
    """Looks at an index of a world, and at the state folder of a sync.

    :param foreign: The content of the vectors of other writers.
    """

    def __init__(self, world: World, index: str, folder: MemoryFolder, hasher: RowHasher) -> None:
        self._world = world
        self._index = index
        self._folder = folder
        self._hasher = hasher
        self.foreign: dict[str, int] = {}
        self._vectors: defaultdict[int, Vectors] = defaultdict(dict)
        self._deleted: dict[str, list[str]] = {}  # IDs by mutation.
        self._log = world._engine._log
        world._engine._log = self._note  # type: ignore[method-assign]

    def _note(self, index: Index, kind: Kind, vectors: Sequence[Vector] = (), argument: str = "") -> Mutation:
        """Note what an acknowledged mutation does to the index once it is applied."""
        mutation = self._log(index, kind, vectors, argument)
        if kind is Kind.DELETE:
            self._deleted[mutation.id] = [vector.id for vector in vectors if not vector.id.startswith(PREFIX)]
        for vector in vectors:
            if kind is Kind.DELETE:
                self._vectors[index.key].pop(vector.id, None)
            else:
                self._vectors[index.key][vector.id] = self._describe(vector)
        return mutation

    def vectors(self) -> Vectors:
        """Return content, parameter and hash of each vector by ID, as if all that was acknowledged were applied."""
        index = self._world._engine.catalog.index(ACCOUNT_ID, self._index)
        return dict(self._vectors[index.key])

    def ours(self) -> set[str]:
        """Return the IDs of the vectors that the sync has to know: all that no other writer wrote last."""
        vectors = self.vectors()
        return {name for name in vectors.keys() - self.foreign.keys() if vectors[name][0] not in FOREIGN_CONTENT}

    def deleted_by(self, client: str) -> list[str]:
        """Return the IDs that a client has deleted."""
        mutations = [mutation for sent in self._world.sent if sent.client == client for mutation in sent.mutation_ids]
        return [name for mutation in mutations for name in self._deleted.get(mutation, ())]

    def _describe(self, vector: Vector) -> tuple[int, int, int]:
        metadata = orjson.loads(vector.metadata or b"{}")
        return metadata["c"], metadata["p"], self._hasher.hash(vector.values or b"", vector.namespace, metadata)

    @property
    def created_on(self) -> str:
        return self._world.created_on(self._index).isoformat()

    def state(self) -> State | None:
        return read_state(self._folder)

    def is_baseline(self) -> bool:
        state = self.state()
        return state is None or state.created_on != self.created_on

    def known(self) -> dict[str, int]:
        """Return the hash of each ID in the committed state."""
        state = self.state()
        if state is None:
            return {}
        return {
            vector_id: content
            for batch in read_columns(self._folder, state.columns)
            for vector_id, content in zip(batch.column("id").to_pylist(), batch.column("hash").to_pylist(), strict=True)
        }

    def logged(self) -> set[str]:
        """Return all IDs in records that no generation has absorbed."""
        state, ids = self.state(), set[str]()
        for name in self._folder.list("log/"):
            record = orjson.loads(gzip.decompress(self._folder.content[name]))
            if not is_absorbed(state.absorbed if state else {}, record["run"], record["number"]):
                ids.update(record["ids"])
        return ids

    def approved(self, plan: str | None) -> set[str]:
        """Return the IDs that a plan deletes, if it is not spent."""
        name, state = deletions_name(plan or ""), self.state()
        if plan is None or name not in self._folder.content or (state and plan in state.spent):
            return set()
        return set(read_ids(self._folder, name))

    def violations(
        self, truth: Truth, parameter: int, *, green: bool, committed: bool, deletes: bool, before: Vectors | None
    ) -> list[tuple[str, Any]]:
        """Return how the index differs from what a run promises.

        :param truth: What the source should lead to.
        :param parameter: The parameter that shapes rows.
        :param green: Whether the run succeeded.
        :param committed: Whether it committed.
        :param deletes: Whether a green run deletes what left the source.
        :param before: The vectors before the run, if nothing else changed them.
        """
        vectors, known = self.vectors(), self.known()
        found: list[tuple[str, Any]] = []
        ours = self.ours()
        if not self.is_baseline() or self.state() is None:
            uncovered = ours - set(known) - self.logged()
            if uncovered:
                found.append(("not covered", sorted(uncovered)))
        for name, content in self.foreign.items():
            if vectors.get(name, (None,))[0] != content:
                found.append(("foreign vector touched", name))
        if before is not None:
            lost = [name for name in before if name in truth.present and name not in vectors]
            if lost:
                found.append(("wrong delete", lost))
        if committed and not self.is_baseline():
            ahead = [
                name
                for name, content in known.items()
                if content != UNKNOWN and (name not in vectors or vectors[name][2] != content)
            ]
            if ahead:
                found.append(("state ahead", ahead))
        if green:
            stale = [name for name, content in truth.good.items() if vectors.get(name, ())[:2] != (content, parameter)]
            if stale:
                found.append(("stale", stale))
            left = ours - truth.present
            if deletes and left:
                found.append(("left over", sorted(left)))
        return found
