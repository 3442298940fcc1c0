"""Folding job: applies pending mutations to the indexes, batch by batch, in a background thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_vectorize.local.engine.catalog import Catalog
from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.index_state import IndexState, IndexStates
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import IndexDeleted
from airflow_provider_vectorize.local.engine.records import FoldedBatch, Index

logger = logging.getLogger(__name__)


class FoldingJob:
    """Folds an index ``lag`` seconds after its oldest pending mutation was accepted.

    With a lag of 0, a read first folds all mutations that were acknowledged before it, so that tests see their own
    writes. While the job is on hold, only :meth:`process` folds.
    """

    def __init__(self, catalog: Catalog, states: IndexStates, limits: Limits, clock: Clock, lag: float) -> None:
        self._catalog = catalog
        self._states = states
        self._limits = limits
        self._clock = clock
        self._lag = self._initial_lag = lag
        self._held = False
        self._stopping = False
        self._changed = threading.Condition()
        self._fold_lock = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="folding", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._set(stopping=True)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def lag(self) -> float:
        return self._lag

    @property
    def held(self) -> bool:
        return self._held

    def set_lag(self, seconds: float) -> None:
        self._set(lag=seconds)

    def reset(self) -> None:
        """Restore the initial lag and end a hold."""
        self._set(lag=self._initial_lag, held=False)

    def hold(self) -> None:
        """Put the job on hold, and wait until the batch that is being folded is complete."""
        self._set(held=True)
        with self._fold_lock:
            pass

    def release(self) -> None:
        self._set(held=False)

    def wake(self) -> None:
        self._set()

    def _set(self, **values: object) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, f"_{name}", value)
            self._changed.notify_all()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Return a context manager in which no batch is folded."""
        with self._fold_lock:
            yield

    def process(
        self, index: Index | None = None, batches: int | None = None, *, mutations: int | None = None
    ) -> list[FoldedBatch]:
        """Fold pending mutations now, even while the job is on hold.

        :param index: The only index to fold. Default: all indexes.
        :param batches: Maximum number of batches. Default: until nothing is pending.
        :param mutations: Maximum number of mutations in each batch. Default: the limit ``mutations_per_batch``.
        """
        folded_batches: list[FoldedBatch] = []
        for current in [index] if index else self._catalog.indexes():
            while batches is None or len(folded_batches) < batches:
                folded = self._fold(current, mutations=mutations)
                if folded is None:
                    break
                folded_batches.append(folded)
        return folded_batches

    def fold_before_read(self, index: Index) -> None:
        """Fold the pending mutations of an index if the lag is 0 and the job is not on hold."""
        if self._lag == 0 and not self._held:
            self.process(index)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._fold_when_due()
            except Exception:  # One failed batch must not end the thread. Its mutations stay in the log.
                logger.exception("Failed to fold a batch. Its mutations stay in the log. Retrying in 1 s.")
                with self._changed:
                    self._changed.wait(1)

    def _fold_when_due(self) -> None:
        with self._changed:
            index, wait = self._next_due()
            if self._stopping:
                return
            if index is None:
                self._changed.wait(wait)
                return
        self._fold(index, unless_held=True)

    def _next_due(self) -> tuple[Index | None, float | None]:
        """Return the index that is due and the seconds until the next one is due.

        Both are None if nothing is pending or the job is on hold.
        """
        if self._held:
            return None, None
        oldest = self._catalog.oldest_pending()
        if oldest is None:
            return None, None
        key, accepted_at = oldest
        due_in = accepted_at + self._lag - self._clock.now()
        # If the mutation is due later than the lag allows, the clock was set back after it was accepted: fold now.
        if 0 < due_in <= self._lag + 1:
            return None, due_in
        # The index is None if it has just been deleted. The job then checks again after 0.05 s.
        return next((index for index in self._catalog.indexes() if index.key == key), None), 0.05

    def _fold(self, index: Index, *, unless_held: bool = False, mutations: int | None = None) -> FoldedBatch | None:
        """Fold one batch of an index. Return None if nothing is pending or the index was deleted."""
        with self._fold_lock:
            if unless_held and self._held:
                return None
            try:
                state = self._states.get(index)
                with state.fold_lock:
                    return self._fold_state(state, mutations or self._limits.mutations_per_batch)
            except IndexDeleted:
                return None

    def _fold_state(self, state: IndexState, max_mutations: int) -> FoldedBatch | None:
        key, store = state.index.key, state.store
        # This only deletes something if an earlier fold failed after its commit.
        self._catalog.discard_log(key, store.folded_seq())
        mutations = self._catalog.pending(key, max_mutations, self._limits.vectors_per_batch)
        if not mutations:
            return None
        processed_at = store.fold(mutations, self._clock.now, self._catalog.last_seq)
        state.publish()
        self._catalog.discard_log(key, mutations[-1].seq)
        store.collect_garbage(self._clock.now() - self._limits.cursor_seconds)
        return FoldedBatch(
            state.index.name,
            state.visible_batch,
            tuple(mutation.id for mutation in mutations),
            sum(mutation.vectors for mutation in mutations),
            processed_at,
        )
