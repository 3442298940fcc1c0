"""One run of the storm: a load through faults, kills and crashes, and what has to be true afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.local.handle import LocalVectorize, RecordedRequest
from airflow_provider_vectorize.visibility.verdict import Verdict
from tests.support import DIMENSIONS, FileTarget, Monitor, client_of, expected_dump, ndjson, write_object

from .loader import DONE, FAILED
from .outcome import Outcome
from .plan import APPLIED, LATE_SECONDS, TIMEOUT, Plan

ROOT = Path(__file__).parents[2]
MOST_ATTEMPTS = 30
PLENTY = "100000/300"
#: Mutations that one batch of the local Vectorize takes, instead of a thousand.
FOLDED = 7
WRITES = ("insert", "upsert")


class WrongError(AssertionError):
    """The promise is broken."""


class Storm:
    """One run against a local Vectorize that several runs may share."""

    def __init__(self, local: LocalVectorize, made: Plan, folder: Path) -> None:
        self._local = local
        self._plan = made
        self._folder = folder
        self._records: list[RecordedRequest] = []
        self._rng = random.Random(f"weather {made.seed}")
        self._outcome = Outcome(made, rows=sum(map(len, made.texts)))
        self._moved = False  # whether the objects are others than those that the parts were cut from

    def run(self) -> Outcome:
        """All of it.

        :raises WrongError: something is lost, or not true.
        """
        begun = time.monotonic()
        objects = self._prepare()
        self._load(self._config(objects))
        receipt = json.loads((self._folder / "receipt.json").read_text())
        self._count(Receipt.from_dict(receipt))
        self._check_letters(objects)
        self._check_visibility(receipt)
        self._outcome.seconds = time.monotonic() - begun
        return self._outcome

    # ------------------------------------------------------------------ before

    def _prepare(self) -> list[Path]:
        local, made = self._local, self._plan
        local.reset()
        local.set_budget(PLENTY)
        with client_of(local) as client:
            client.create_index(made.index, dimensions=DIMENSIONS, metric="cosine")
            if made.before:
                client.upsert(made.index, ndjson(made.before))
        local.process()
        local.foreign_mutation(made.index)  # last night is long ago: no replica is so far behind
        local.process()
        local.clear_requests()
        self._weather()
        paths = []
        for number, texts in enumerate(made.texts):
            path = self._folder / f"{number}.ndjson{made.suffix}"
            paths.append(write_object(path, b"".join(text + b"\n" for text in texts)))
        return paths

    def _weather(self) -> None:
        """Faults, lag and flapping reads; anew after each crash, which forgets them."""
        local, made = self._local, self._plan
        local.set_budget(made.budget)
        local.set_lag(made.lag)
        if made.held:
            local.hold()
        if made.flaps:
            local.flap(made.index, probability=0.4, seed=made.seed)
        for rule in made.faults:
            operations = WRITES if rule.get("operation") == "write" else (None,)
            for operation in operations:
                local.fail(**{**rule, "operation": operation, "times": None})

    def _config(self, objects: list[Path]) -> Path:
        local, made = self._local, self._plan
        path = self._folder / "config.json"
        config = {
            "folder": str(self._folder),
            "account_id": local.account_id,
            "token": local.token,
            "base_url": local.base_url,
            "index": made.index,
            "operation": made.operation,
            "objects": self._names(objects),
            "paths": [str(one) for one in objects],
            "parts": made.parts,
            "per_request": made.per_request,
            "retry_seconds": self._rng.choice([2, 20]),
            "timeout": TIMEOUT,
            "late_seconds": LATE_SECONDS,
            "options": {
                "validation": made.validation,
                "float32_text": made.float32_text,
                "max_in_flight": made.in_flight,
            },
        }
        path.write_text(json.dumps(config))
        return path

    def _names(self, objects: list[Path]) -> list[str]:
        """The source: files, or the parts that a plan cuts them into, at the beginnings of lines."""
        if not self._plan.parts:
            return [str(one) for one in objects]
        from airflow_provider_vectorize import storage
        from airflow_provider_vectorize.sources.parts import Part

        self._moved = False
        names = []
        for path, found in zip(objects, storage.find([str(one) for one in objects]), strict=True):
            ends = [at + 1 for at, byte in enumerate(path.read_bytes()) if byte == ord("\n")]
            cuts = sorted({0, ends[-1], *self._rng.sample(ends, min(2, len(ends)))})
            names += [found.name_of_part(Part(first, stop)) for first, stop in pairwise(cuts)]
        return names

    # ------------------------------------------------------------------ the load

    def _load(self, config: Path) -> None:
        outcome, disasters, changes = self._outcome, list(self._plan.disasters), list(self._plan.changes)
        again = self._plan.cleared
        with open(self._folder / "log.txt", "ab") as log:
            if self._plan.parts and changes:
                self._change(changes.pop(0), config)  # between the plan and the load
            while True:
                outcome.attempts += 1
                if outcome.attempts > MOST_ATTEMPTS:
                    raise WrongError(f"no end after {MOST_ATTEMPTS} attempts")
                self._attempt(config)
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.storm.loader", str(config)], cwd=ROOT, stdout=log, stderr=log
                )
                try:
                    if disasters:
                        self._strike(process, *disasters.pop(0))
                    code = process.wait(timeout=120)
                finally:
                    process.kill()
                    process.wait()
                if code == DONE and self._moved:
                    raise WrongError("a load of parts succeeded, and its objects were others than the plan's")
                if code == FAILED and self._moved:  # as it has to; then the source is planned again
                    given = json.loads(config.read_text())
                    config.write_text(
                        json.dumps(given | {"objects": self._names([Path(one) for one in given["paths"]])})
                    )
                if code == DONE and not again:
                    return
                if code == DONE:
                    again, changes = False, ["clear"]
                elif code not in (FAILED, -signal.SIGKILL):
                    raise WrongError(f"the loading process ended with {code}: see {self._folder / 'log.txt'}")
                if changes:
                    self._change(changes.pop(0), config)

    def _attempt(self, config: Path) -> None:
        """Tell the load which attempt it is."""
        given = json.loads(config.read_text())
        config.write_text(json.dumps(given | {"attempt": self._outcome.attempts, "clears": self._outcome.clears}))

    def _change(self, change: str, config: Path) -> None:
        """What somebody does between two attempts: the next one starts over, with the same rows."""
        if change == "clear":
            self._outcome.clears += 1
        elif change == "rewrite":
            self._outcome.rewrites += 1
            for name in json.loads(config.read_text())["paths"]:
                path = Path(name)
                self._moved = self._plan.parts
                os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))

        elif change == "move":
            self._outcome.moves += 1
            self._moved = True
            for name in json.loads(config.read_text())["paths"]:
                path = Path(name)
                lines = path.read_bytes().splitlines(keepends=True)
                self._rng.shuffle(lines)
                beside = path.with_suffix(".new")
                beside.write_bytes(b"".join(lines))
                beside.replace(path)

    def _strike(self, process: subprocess.Popen[bytes], disaster: str, after: int) -> None:
        """Wait for a moment of the load, and let something happen."""
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
        process.send_signal(signal.SIGSTOP)  # so that nothing is written between the look at the records and the crash
        self._keep_records()
        self._local.kill()
        process.send_signal(signal.SIGCONT)
        time.sleep(self._rng.uniform(0, 0.3))
        self._local.restart()
        self._weather()
        self._outcome.crashes += 1

    def _writes(self) -> list[RecordedRequest]:
        return [one for one in self._local.requests() if one.operation in WRITES]

    def _keep_records(self) -> None:
        self._records += self._local.requests()

    # ------------------------------------------------------------------ afterwards

    def _count(self, receipt: Receipt) -> None:
        outcome, made = self._outcome, self._plan
        self._keep_records()
        outcome.faults = Counter(one.fault for one in self._records if one.fault)
        if receipt.vectors != len(made.good):
            raise WrongError(f"{receipt.vectors} vectors are acknowledged, there are {len(made.good)} good rows")
        if receipt.rejected != len(made.bad):
            raise WrongError(f"{receipt.rejected} rows are rejected, there are {len(made.bad)} bad ones")
        applied = [one for one in self._records if one.operation in WRITES and one.mutation_id]
        ids = {one.mutation_id for one in applied}
        if not outcome.crashes and not set(receipt.mutation_ids) <= ids:
            raise WrongError("the receipt names mutations that never were")
        outcome.bytes_sent = receipt.bytes_sent
        outcome.bytes_twice = sum(one.body_bytes for one in applied) - receipt.bytes_sent
        if (
            outcome.crashes or outcome.clears or outcome.rewrites or outcome.moves
        ):  # not all of it is on record, or all is sent again
            outcome.bytes_twice = max(0, outcome.bytes_twice)
            return
        again = sum(
            one.body_bytes
            for one in applied
            if one.fault in (*APPLIED, "late") or (one.ended or 0) - one.started > TIMEOUT
        )
        largest = max(one.body_bytes for one in applied)
        # A try that gave up, too, leaves some in flight.
        outcome.most_twice = again + (outcome.attempts - 1) * made.in_flight * largest
        if not 0 <= outcome.bytes_twice <= outcome.most_twice:
            raise WrongError(f"{outcome.bytes_twice} bytes were sent twice, at most {outcome.most_twice} may be")

    def _check_letters(self, objects: list[Path]) -> None:
        letters = FileTarget(self._folder / "bad.ndjson").dead_letters()
        found = sorted((letter["object"], letter["line"]) for letter in letters)
        expected = sorted((objects[number].as_uri(), line) for number, line in self._plan.bad)
        if found != expected:
            raise WrongError(f"dead letters {found}, bad rows {expected}")
        for letter in letters:
            number = next(n for n, path in enumerate(objects) if path.as_uri() == letter["object"])
            text = self._plan.texts[number][letter["line"] - 1]
            offset = sum(len(one) + 1 for one in self._plan.texts[number][: letter["line"] - 1])
            same = _same(letter["row"].encode(), text, rewritten="refuses" in letter["reason"])
            if letter["offset"] != offset or not same:
                raise WrongError(f"a dead letter is not the row it speaks of: {letter}")

    def _check_visibility(self, receipt: dict[str, Any]) -> None:
        """Look while batches are folded, others write and reads flap: visible has to be true when it is said."""
        local, made, rng = self._local, self._plan, self._rng
        expected = expected_dump(made.good, made.operation, expected_dump(made.before))
        local.clear_faults()
        local.set_budget(PLENTY)
        local.shift_clock(100)  # what is carried out late has been by now: nothing may change any more
        if made.flaps:
            local.flap(made.index, probability=0.4, seed=made.seed)
        with closing(Monitor(local, receipt)) as monitor:
            for step in range(60):
                if step == 40:
                    local.release()
                    local.process()
                    local.steady()
                elif rng.random() < 0.3 and step < 40:
                    local.foreign_mutation(made.index)
                elif rng.random() < 0.5 and made.held:
                    local.process(made.index, batches=1)
                elif not made.held:
                    time.sleep(0.02)
                elif step > 40:
                    local.process()
                found = monitor.check()
                if found.failure:
                    raise WrongError(found.failure)
                if found.visible:
                    self._check_index(expected, found)
                    self._outcome.looks = step + 1
                    break
            else:
                raise WrongError(f"never visible: {found.text}")
        local.release()
        local.process()
        self._check_index(expected, found)
        self._outcome.proof = found.text

    def _check_index(self, expected: dict[str, str], found: Verdict) -> None:
        index = self._local.dump(self._plan.index)
        if index == expected:
            return
        lost = sorted(expected.keys() - index.keys())
        wrong = sorted(one for one in expected.keys() & index.keys() if expected[one] != index[one])
        more = sorted(index.keys() - expected.keys())
        raise WrongError(f"lost {lost[:5]}, wrong {wrong[:5]}, too many {more[:5]}; {found.text}")


def _same(letter: bytes, text: bytes, *, rewritten: bool) -> bool:
    """Whether a dead letter is the row. One that only Vectorize refused is there as it was sent, in float32 text."""
    if not rewritten or letter == text:
        return letter == text
    one, other = json.loads(letter), json.loads(text)
    pairs = zip(one.pop("values"), other.pop("values"), strict=True)
    return one == other and all(struct.pack("<f", a) == struct.pack("<f", b) for a, b in pairs)


@contextmanager
def sky() -> Iterator[LocalVectorize]:
    """A local Vectorize whose batches are small, so that a load is folded in several."""
    with LocalVectorize.start(
        budget=PLENTY, extra_args=["--no-sync", f"--limit=mutations_per_batch={FOLDED}"]
    ) as local:
        yield local


def weather(local: LocalVectorize, made: Plan) -> Outcome:
    """One run; what it leaves is kept only where something is wrong."""
    folder = Path(tempfile.mkdtemp(prefix=f"storm-{made.seed}-"))
    try:
        outcome = Storm(local, made, folder).run()
    except BaseException as error:
        error.add_note(f"seed {made.seed}; its files are in {folder}")
        raise
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return outcome
