"""Run one load through faults, kills and crashes, and verify its guarantees afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.local.handle import LocalVectorize, RecordedRequest
from tests.support import DIMENSIONS, client_of, ndjson

from .loader import FAILED, SUCCEEDED
from .outcome import Outcome
from .scenario import TIMEOUT, Scenario
from .sources import part_boundaries, shuffle_source, write_source
from .verification import LARGE_BUDGET, WRITES, Verification, WrongError

ROOT = Path(__file__).parents[2]
MAX_ATTEMPTS = 30
#: Mutations that the local Vectorize processes in one batch, instead of a thousand.
MUTATIONS_PER_BATCH = 7


class StormRun:
    """One run against a local Vectorize that several runs may share.

    :param local: The local Vectorize.
    :param scenario: What happens during the run.
    :param folder: An empty folder for the source, the dead letters, the checkpoint and the log.
    """

    def __init__(self, local: LocalVectorize, scenario: Scenario, folder: Path) -> None:
        self._local = local
        self._scenario = scenario
        self._folder = folder
        self._requests: list[RecordedRequest] = []
        self._rng = random.Random(f"weather {scenario.seed}")
        self._outcome = Outcome(scenario, rows=sum(map(len, scenario.texts)))
        self._source_changed = False  #: Whether the objects changed after their parts were named.

    def run(self) -> Outcome:
        """Load, and verify the result.

        :raises WrongError: A guarantee is broken.
        """
        started_at = time.monotonic()
        objects = self._prepare()
        self._load(self._write_config(objects))
        receipt = json.loads((self._folder / "receipt.json").read_text())
        self._keep_requests()
        verification = Verification(self._local, self._outcome, self._folder / "bad.ndjson", self._rng)
        verification.check_counts(Receipt.from_dict(receipt), self._requests)
        verification.check_dead_letters(objects)
        verification.check_visibility(receipt)
        self._outcome.seconds = time.monotonic() - started_at
        return self._outcome

    # ------------------------------------------------------------------ preparation

    def _prepare(self) -> list[Path]:
        """Create the index and its earlier vectors, and write the source."""
        local, scenario = self._local, self._scenario
        local.reset()
        local.set_budget(LARGE_BUDGET)
        with client_of(local) as client:
            client.create_index(scenario.index, dimensions=DIMENSIONS, metric="cosine")
            if scenario.before:
                client.upsert(scenario.index, ndjson(scenario.before))
        local.process()
        local.foreign_mutation(scenario.index)  # The earlier load is long ago: no replica shows its watermark any more.
        local.process()
        local.clear_requests()
        self._set_faults()
        paths = []
        for number, texts in enumerate(scenario.texts):
            name = f"{number}{'' if scenario.suffix == '.parquet' else '.ndjson'}{scenario.suffix}"
            paths.append(write_source(self._folder / name, texts))
        return paths

    def _set_faults(self) -> None:
        """Set faults, lag and flapping reads. A crash of the local Vectorize clears them."""
        local, scenario = self._local, self._scenario
        local.set_budget(scenario.budget)
        local.set_lag(scenario.lag)
        if scenario.held:
            local.hold()
        if scenario.flaps:
            local.flap(scenario.index, probability=0.4, seed=scenario.seed)
        set_faults(local, scenario.faults, WRITES)

    def _write_config(self, objects: list[Path]) -> Path:
        """Write the configuration of the loading process."""
        local, scenario = self._local, self._scenario
        path = self._folder / "config.json"
        config = {
            "folder": str(self._folder),
            "account_id": local.account_id,
            "token": local.token,
            "base_url": local.base_url,
            "index": scenario.index,
            "operation": scenario.operation,
            "objects": self._source_names(objects),
            "paths": [str(source_path) for source_path in objects],
            "parts": scenario.parts,
            "per_request": scenario.per_request,
            "retry_seconds": self._rng.choice([2, 20]),
            "timeout": TIMEOUT,
            "late_seconds": scenario.late_seconds,
            "killed_checkers": scenario.killed_checkers,
            "options": {
                "validation": scenario.validation,
                "float32_text": scenario.float32_text,
                "max_in_flight": scenario.in_flight,
                "processes": scenario.processes,
            },
        }
        path.write_text(json.dumps(config))
        return path

    def _source_names(self, objects: list[Path]) -> list[str]:
        """Return the files, or the parts into which a plan splits them."""
        names = [str(path) for path in objects]
        if not self._scenario.parts:
            return names
        from airflow_provider_vectorize import storage
        from airflow_provider_vectorize.sources.parts import Part

        self._source_changed = False
        part_names = []
        for path, stored in zip(objects, storage.find(names), strict=True):
            boundaries = part_boundaries(path, self._rng)
            part_names += [stored.name_of_part(Part(start, end)) for start, end in pairwise(boundaries)]
        return part_names

    # ------------------------------------------------------------------ the load

    def _load(self, config: Path) -> None:
        """Run attempts of the load until one succeeds, with a disaster during each and a change between them."""
        outcome, disasters, changes = self._outcome, list(self._scenario.disasters), list(self._scenario.changes)
        clear_after_success = self._scenario.cleared
        if self._scenario.parts and changes:
            self._change(changes.pop(0), config)  # Between the plan and the load.
        while True:
            outcome.attempts += 1
            if outcome.attempts > MAX_ATTEMPTS:
                raise WrongError(f"the load did not succeed within {MAX_ATTEMPTS} attempts")
            code = self._attempt(config, disasters.pop(0) if disasters else None)
            if code == SUCCEEDED and self._source_changed:
                raise WrongError("a load of parts succeeded although its objects changed after the plan")
            if code == FAILED and self._source_changed:  # This failure is expected, and the source is planned again.
                _update_config(config, objects=self._source_names(_source_paths(config)))
            if code == SUCCEEDED and not clear_after_success:
                return
            if code == SUCCEEDED:
                clear_after_success, changes = False, ["clear"]
            elif code not in (FAILED, -signal.SIGKILL):
                raise WrongError(f"the loading process ended with {code}: see {self._folder / 'log.txt'}")
            if changes:
                self._change(changes.pop(0), config)

    def _attempt(self, config: Path, disaster: tuple[str, int] | None) -> int:
        """Run one attempt in a process, and return its exit code."""
        _update_config(config, attempt=self._outcome.attempts, clears=self._outcome.clears)
        with open(self._folder / "log.txt", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.storm.loader", str(config)], cwd=ROOT, stdout=log, stderr=log
            )
            try:
                if disaster:
                    self._cause_disaster(process, *disaster)
                return process.wait(timeout=120)
            finally:
                process.kill()
                process.wait()

    def _change(self, change: str, config: Path) -> None:
        """Change something between two attempts, so that the next one starts over with the same rows."""
        if change == "clear":
            self._outcome.clears += 1
        elif change == "rewrite":
            self._outcome.rewrites += 1
            self._source_changed = self._scenario.parts
            for path in _source_paths(config):
                os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))
        elif change == "move":
            self._outcome.moves += 1
            self._source_changed = True
            for path in _source_paths(config):
                shuffle_source(path, self._rng)

    def _cause_disaster(self, process: subprocess.Popen[bytes], disaster: str, after: int) -> None:
        """Wait for a number of writes, and kill the load or crash the local Vectorize."""
        before = len(self._writes())
        while process.poll() is None and len(self._writes()) - before < after:
            time.sleep(0.005)
        time.sleep(self._rng.uniform(0, 0.05 if after else 0.4))
        if process.poll() is not None:
            return
        if disaster == "kill":
            process.kill()
            self._outcome.kills += 1
            return
        process.send_signal(signal.SIGSTOP)  # Nothing is written between reading the requests and the crash.
        self._keep_requests()
        self._local.kill()
        process.send_signal(signal.SIGCONT)
        time.sleep(self._rng.uniform(0, 0.3))
        self._local.restart()
        self._set_faults()
        self._outcome.crashes += 1

    def _writes(self) -> list[RecordedRequest]:
        return [request for request in self._local.requests() if request.operation in WRITES]

    def _keep_requests(self) -> None:
        """Keep the recorded requests, which a crash of the local Vectorize loses."""
        self._requests += self._local.requests()


def _source_paths(config: Path) -> list[Path]:
    return [Path(path) for path in json.loads(config.read_text())["paths"]]


def _update_config(config: Path, **values: object) -> None:
    config.write_text(json.dumps(json.loads(config.read_text()) | values))


def set_faults(local: LocalVectorize, faults: Iterable[dict[str, Any]], writes: Sequence[str]) -> None:
    """Set faults in a local Vectorize.

    :param faults: Rules, as :func:`~.scenario.make_faults` yields them.
    :param writes: The operations that a rule for ``write`` means.
    """
    for rule in faults:
        for operation in writes if rule.get("operation") == "write" else (None,):
            local.fail(**{**rule, "operation": operation, "times": None})


@contextmanager
def start_local_vectorize() -> Iterator[LocalVectorize]:
    """Start a local Vectorize with small batches, so that it processes a load in several of them."""
    with LocalVectorize.start(
        budget=LARGE_BUDGET, extra_args=["--no-sync", f"--limit=mutations_per_batch={MUTATIONS_PER_BATCH}"]
    ) as local:
        yield local


def run_scenario(local: LocalVectorize, scenario: Scenario) -> Outcome:
    """Run a scenario. Its files are kept only if a guarantee is broken.

    :raises WrongError: A guarantee is broken.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"storm-{scenario.seed}-"))
    try:
        outcome = StormRun(local, scenario, folder).run()
    except BaseException as error:
        error.add_note(f"seed {scenario.seed}; its files are in {folder}")
        raise
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return outcome
