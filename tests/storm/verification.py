"""Verify the guarantees after a storm run: counts, dead letters, and the content of the index when it is visible."""

from __future__ import annotations

import json
import random
import struct
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.local.handle import LocalVectorize, RecordedRequest
from airflow_provider_vectorize.visibility.verdict import Verdict
from tests.support import FileTarget, Monitor, expected_dump

from .outcome import Outcome
from .scenario import APPLIED, TIMEOUT
from .sources import ROW_GROUP

LARGE_BUDGET = "100000/300"
WRITES = ("insert", "upsert")


class WrongError(AssertionError):
    """A guarantee is broken."""


class Verification:
    """Verify one run.

    :param local: The local Vectorize.
    :param outcome: The outcome of the run so far, to which the verification adds.
    :param dead_letter_path: The dead-letter file.
    :param rng: Decides what happens while the visibility is checked.
    """

    def __init__(self, local: LocalVectorize, outcome: Outcome, dead_letter_path: Path, rng: random.Random) -> None:
        self._local = local
        self._outcome = outcome
        self._scenario = outcome.scenario
        self._dead_letter_path = dead_letter_path
        self._rng = rng

    def check_counts(self, receipt: Receipt, requests: list[RecordedRequest]) -> None:
        """Compare the receipt with the rows of the scenario and the recorded requests.

        :raises WrongError: A count is wrong, or too many bytes were sent twice.
        """
        outcome, scenario = self._outcome, self._scenario
        outcome.faults = Counter(request.fault for request in requests if request.fault)
        if receipt.vectors != len(scenario.good):
            raise WrongError(f"{receipt.vectors} vectors are acknowledged, but {len(scenario.good)} rows are good")
        if receipt.rejected != len(scenario.bad):
            raise WrongError(f"{receipt.rejected} rows are rejected, but {len(scenario.bad)} rows are bad")
        applied = [request for request in requests if request.operation in WRITES and request.mutation_id]
        ids = {request.mutation_id for request in applied}
        if not outcome.crashes and not set(receipt.mutation_ids) <= ids:
            raise WrongError("the receipt contains mutations that do not exist")
        outcome.bytes_sent = receipt.bytes_sent
        outcome.bytes_twice = sum(request.body_bytes for request in applied) - receipt.bytes_sent
        if outcome.crashes or outcome.clears or outcome.rewrites or outcome.moves:
            # After a crash not all requests are on record. After the other events, all rows are sent again.
            outcome.bytes_twice = max(0, outcome.bytes_twice)
            return
        repeated = sum(
            request.body_bytes
            for request in applied
            if request.fault in (*APPLIED, "late") or (request.ended or 0) - request.started > TIMEOUT
        )
        largest = max(request.body_bytes for request in applied)
        # An attempt that fails also leaves some requests in flight.
        outcome.max_bytes_twice = repeated + (outcome.attempts - 1) * scenario.in_flight * largest
        if not 0 <= outcome.bytes_twice <= outcome.max_bytes_twice:
            raise WrongError(
                f"{outcome.bytes_twice} bytes were sent twice, but at most {outcome.max_bytes_twice} are allowed"
            )

    def check_dead_letters(self, objects: list[Path]) -> None:
        """Check that the dead letters are exactly the bad rows.

        :raises WrongError: A dead letter is missing, unexpected or not its row.
        """
        dead_letters = FileTarget(self._dead_letter_path).dead_letters()
        places = sorted((dead_letter["object"], dead_letter["line"]) for dead_letter in dead_letters)
        expected = sorted((objects[number].as_uri(), line) for number, line in self._scenario.bad)
        if places != expected:
            raise WrongError(f"dead letters {places}, bad rows {expected}")
        for dead_letter in dead_letters:
            number = next(n for n, path in enumerate(objects) if path.as_uri() == dead_letter["object"])
            texts = self._scenario.texts[number]
            text = texts[dead_letter["line"] - 1]
            if self._scenario.suffix == ".parquet":
                place, expected_place = dead_letter["row_group"], (dead_letter["line"] - 1) // ROW_GROUP
            else:
                place, expected_place = dead_letter["offset"], sum(map(len, texts[: dead_letter["line"] - 1]))
                expected_place += dead_letter["line"] - 1
            rewritten = self._scenario.suffix == ".parquet" or "refuses" in dead_letter["reason"]
            if place != expected_place or not _is_row(dead_letter["row"].encode(), text, rewritten=rewritten):
                raise WrongError(f"a dead letter differs from its row: {dead_letter}")

    def check_visibility(self, receipt: dict[str, Any]) -> None:
        """Check the index as the sensor does, while batches are processed, others write, and reads jump back and forth.

        :raises WrongError: The monitor reports visible although a vector is missing or wrong, or it never does.
        """
        local, scenario, rng = self._local, self._scenario, self._rng
        expected = expected_dump(scenario.good, scenario.operation, expected_dump(scenario.before))
        local.clear_faults()
        local.set_budget(LARGE_BUDGET)
        local.shift_clock(100)  # All late requests have been carried out by then, so that nothing changes any more.
        if scenario.flaps:
            local.flap(scenario.index, probability=0.4, seed=scenario.seed)
        with closing(Monitor(local, receipt)) as monitor:
            for step in range(60):
                if step == 40:
                    local.release()
                    local.process()
                    local.steady()
                elif rng.random() < 0.3 and step < 40:
                    local.foreign_mutation(scenario.index)
                elif rng.random() < 0.5 and scenario.held:
                    local.process(scenario.index, batches=1)
                elif not scenario.held:
                    time.sleep(0.02)
                elif step > 40:
                    local.process()
                verdict = monitor.check()
                if verdict.failure:
                    raise WrongError(verdict.failure)
                if verdict.visible:
                    self._check_index(expected, verdict)
                    self._outcome.checks = step + 1
                    break
            else:
                raise WrongError(f"never visible: {verdict.text}")
        local.release()
        local.process()
        self._check_index(expected, verdict)
        self._outcome.proof = verdict.text

    def _check_index(self, expected: dict[str, str], verdict: Verdict) -> None:
        index = self._local.dump(self._scenario.index)
        if index == expected:
            return
        lost = sorted(expected.keys() - index.keys())
        wrong = sorted(
            vector_id for vector_id in expected.keys() & index.keys() if expected[vector_id] != index[vector_id]
        )
        unexpected = sorted(index.keys() - expected.keys())
        raise WrongError(f"lost {lost[:5]}, wrong {wrong[:5]}, unexpected {unexpected[:5]}; {verdict.text}")


def _is_row(written: bytes, text: bytes, *, rewritten: bool) -> bool:
    """Check whether the row of a dead letter is the row of the source.

    A row that only Vectorize refused is written as it was sent, with its values as float32 text. A row of Parquet is
    written as ndjson.
    """
    if not rewritten or written == text:
        return written == text
    row, source_row = json.loads(written), json.loads(text)
    pairs = zip(row.pop("values"), source_row.pop("values"), strict=True)
    return row == source_row and all(struct.pack("<f", a) == struct.pack("<f", b) for a, b in pairs)
