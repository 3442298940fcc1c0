"""Run one sync for several nights through faults and kills, and verify its promise after each of them."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.storage.object_store import BUCKET, ObjectStore
from tests.storm.sources import write_source
from tests.storm.storm import MAX_ATTEMPTS, set_faults, start_local_vectorize
from tests.storm.verification import LARGE_BUDGET, WrongError
from tests.support import DIMENSIONS, client_of, credentials_of
from tests.sync.sources import ModelRow, Source

from .attempt import AttemptConfig, Ending, run_attempt
from .outcome import Outcome
from .scenario import LATE_SECONDS, TIMEOUT, Attempt, Night, Scenario
from .verification import Verification, digest_of

__all__ = ["run_scenario", "start_local_vectorize"]

#: Threads must not create clients of boto3 at the same time.
_CLIENTS = threading.Lock()


class SyncStorm:
    """One run against a local Vectorize that several runs use one after the other.

    :param local: The local Vectorize.
    :param scenario: What happens.
    :param folder: An empty folder for the source, the state, the dead letters and the log.
    :param store: The S3 server. Needed only for states that are stored there.
    """

    def __init__(
        self, local: LocalVectorize, scenario: Scenario, folder: Path, store: ObjectStore | None = None
    ) -> None:
        self._local = local
        self._scenario = scenario
        self._folder = folder
        self._rng = random.Random(f"weather {scenario.seed}")
        self._outcome = Outcome(scenario)
        self._verification = Verification(local, scenario.index)
        self._stored: dict[str, list[bytes]] = {}  # The lines of each object of the source.
        self._plan = ""
        assert store or scenario.stored == "file", "this scenario needs an S3 server"
        self._store = store if scenario.stored == "s3" else None
        self._key = f"state/{scenario.seed}"
        (folder / "source").mkdir()

    def run(self) -> Outcome:
        """Run all nights, and verify each.

        :raises WrongError: The promise is broken.
        """
        started_at = time.monotonic()
        self._local.reset()
        self._local.set_budget(LARGE_BUDGET)
        with client_of(self._local) as client:
            client.create_index(self._scenario.index, dimensions=DIMENSIONS, metric="cosine")
        for number, night in enumerate(self._scenario.nights, 1):
            self._run_night(night, is_last=number == len(self._scenario.nights))
        self._outcome.seconds = time.monotonic() - started_at
        return self._outcome

    # ------------------------------------------------------------------ nights

    def _run_night(self, night: Night, *, is_last: bool) -> None:
        local = self._local
        self._write_foreign(night)
        self._verification.begin_night()
        local.clear_requests()
        local.set_lag(self._scenario.lag)
        set_faults(local, night.faults, ("upsert", "delete_by_ids"))
        if night.rewritten:
            self._stored.clear()
        ending = self._commit(night)
        self._outcome.faults += Counter(request.fault for request in local.requests() if request.fault)
        local.clear_faults()
        local.set_lag(0)
        is_green = ending.end == "green"
        if is_last and not is_green:
            raise WrongError(f"the sync does not converge: {ending.text}")
        self._outcome.compared += self._verification.check_index(
            night.attempts[-1].source, deletes=is_green and night.delete_vanished
        )
        if is_last:
            local.clear_requests()
            self._attempt(Attempt(night.attempts[-1].source), night)
            self._verification.check_nothing_sent(local.requests(), night.attempts[-1].source)
        self._outcome.nights += 1

    def _commit(self, night: Night) -> Ending:
        """Run the attempts of a night until one commits that is not killed, and return how it ended."""
        attempts, ending = list(night.attempts), Ending("failed")
        for _ in range(MAX_ATTEMPTS):
            ending = self._attempt(attempts[0], night)
            if len(attempts) > 1:
                attempts.pop(0)
            elif ending.end == "green" or (ending.end == "red" and not (ending.plan and night.approve)):
                return ending
        raise WrongError(f"no attempt committed within {MAX_ATTEMPTS}: {ending.text}")

    def _write_foreign(self, night: Night) -> None:
        """Write as another writer, with IDs that the sync never has in a good row."""
        with client_of(self._local) as client:
            for name, content in night.foreign.items():
                row = ModelRow("good", name, content)
                client.upsert(self._scenario.index, row.line() + b"\n")
                self._verification.foreign[name] = digest_of(row)
        self._local.process()

    # ------------------------------------------------------------------ attempts

    def _attempt(self, attempt: Attempt, night: Night) -> Ending:
        """Run one attempt, and check what it has written."""
        outcome, scenario = self._outcome, self._scenario
        self._write_source(attempt.source)
        self._verification.begin_attempt(attempt.source)
        ending = run_attempt(
            AttemptConfig(
                credentials_of(self._local),
                scenario.index,
                [str(self._path(name)) for name in sorted(attempt.source)],
                self._state_name,
                self._folder,
                {"AIRFLOW_CONN_STORE": self._store.connection} if self._store else {},
                Limits(
                    vectors_per_request=scenario.per_request,
                    ids_per_delete=scenario.per_delete,
                    late_seconds=LATE_SECONDS,
                ),
                scenario.retry_seconds,
                TIMEOUT,
                scenario.in_flight,
                scenario.max_deletes,
                night.delete_vanished,
                approve=self._plan or None,
                kill=attempt.kill,
            )
        )
        if "not what the state says" in ending.text:
            raise WrongError(f"an audit failed although no other writer changed the vectors of the sync: {ending.text}")
        if (
            not ending.plan or ending.end == "failed" or night.approve
        ):  # Without an approval a failed sync never writes.
            self._plan = ending.plan
        outcome.ends[ending.end] += 1
        outcome.rows += sum(map(len, attempt.source.values()))
        if ending.end == "killed":
            outcome.kills[ending.text] += 1
        outcome.written += self._verification.end_attempt(self._read_state())
        return ending

    def _path(self, name: str) -> Path:
        suffix = self._scenario.suffix
        return self._folder / "source" / f"{name}{'' if suffix == '.parquet' else '.ndjson'}{suffix}"

    def _write_source(self, source: Source) -> None:
        """Write the objects that changed, and remove those that are gone."""
        texts = {name: [row.line() for row in rows] for name, rows in source.items()}
        for path in set((self._folder / "source").iterdir()) - set(map(self._path, texts)):
            path.unlink()
        for name, lines in texts.items():
            if self._stored.get(name) != lines:
                write_source(self._path(name), lines)
        self._stored = texts

    # ------------------------------------------------------------------ the state

    @property
    def _state_name(self) -> str:
        return f"s3://store@{BUCKET}/{self._key}" if self._store else str(self._folder / "state")

    def _read_state(self) -> dict[str, bytes]:
        """Return the content of the objects in the state's folder, without the provider's storage."""
        if self._store:
            with _CLIENTS:
                client = self._store.client
            listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self._key}/")
            keys = [entry["Key"] for entry in listed.get("Contents", ())]
            return {
                key.removeprefix(f"{self._key}/"): client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
                for key in keys
            }
        state = self._folder / "state"
        return {path.relative_to(state).as_posix(): path.read_bytes() for path in state.rglob("*") if path.is_file()}


def run_scenario(local: LocalVectorize, scenario: Scenario, store: ObjectStore | None = None) -> Outcome:
    """Run a scenario. Its files are kept only if the promise is broken.

    :raises WrongError: The promise is broken.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"sync-storm-{scenario.seed}-"))
    try:
        outcome = SyncStorm(local, scenario, folder, store).run()
    except BaseException as error:
        error.add_note(f"seed {scenario.seed}; its files are in {folder}")
        raise
    shutil.rmtree(folder)
    return outcome
