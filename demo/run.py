"""Run the nightly load from end to end: with real text, embeddings and Airflow, and a local Vectorize.

python demo/run.py         run the load and exit
python demo/run.py --ui    run the load and keep Airflow's UI and the local Vectorize running until Ctrl-C

All files are in .demo/, so that a second run finds the index of the first one. Nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from local_airflow import DemoError, LocalAirflow, free_port

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.errors import IndexNotFoundError
from airflow_provider_vectorize.local.handle import LocalVectorize

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".demo"
DAG_ID = "nightly_load"
INDEX = "docs"
#: Packages that contain the text and the embedding model.
PACKAGES = ("apache-airflow", "wordllama")
#: Seconds from a write to its visibility. On Cloudflare, 5 to 80 seconds were observed.
LAG = 4.0
REPORTED_STATES = {"deferred": "deferred: waits in the triggerer, without a worker", "success": "success"}
QUESTIONS: tuple[tuple[str, str | None], ...] = (
    ("How many runs of a DAG may be active at the same time?", None),
    ("How do I delete the files in an S3 bucket?", None),
    ("How can a task wait for something without occupying a worker slot?", "core"),
)


def main() -> int:
    """Run the demo, and return the exit status."""
    parser = argparse.ArgumentParser(description="Run the nightly load on real text and a real Airflow.")
    parser.add_argument("--ui", action="store_true", help="keep Airflow's UI and the local Vectorize running")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with exclusive_lock(), ExitStack() as cleanup:
            Demo(cleanup, ui=options.ui).run()
    except KeyboardInterrupt:
        print("\nStopped. No process is left running.")
        return 0 if options.ui else 130
    except DemoError as error:
        print(f"\nThe demo failed. {error}", file=sys.stderr)
        return 1
    return 0


class Demo:
    """The steps of the demo, in order.

    :param cleanup: Stops what the steps start.
    :param ui: Whether to keep everything running after the last step.
    """

    def __init__(self, cleanup: ExitStack, *, ui: bool) -> None:
        self._cleanup = cleanup
        self._ui = ui
        self._started = time.monotonic()
        self._night = datetime.now(UTC).date().isoformat()
        self._embeddings = HOME / "storage" / "embeddings"

    def run(self) -> None:
        """Run all steps."""
        airflow_version = version("apache-airflow")
        print(f"Nightly load on Airflow {airflow_version}, with the text of its own documentation.\n")
        remove_files_of_other_versions()
        vectorize = self._start_vectorize()
        before = vector_count(vectorize)
        airflow = self._start_airflow(vectorize)
        rows, embedder = self._write_embeddings()
        with step("Wait until Airflow is ready: API server, scheduler, triggerer, DAG processor"):
            airflow.wait_until_ready(DAG_ID, 240)
        receipt = self._load(airflow, vectorize)
        self._ask(vectorize, embedder)
        self._compare(rows, receipt, before, vector_count(vectorize))
        print(f"\nThe demo succeeded after {time.monotonic() - self._started:.0f} s.")
        if self._ui:
            self._keep_running(airflow, vectorize)

    def _start_vectorize(self) -> LocalVectorize:
        with step(f"Start a local Vectorize, where writes become visible after {LAG:g} s"):
            port = free_port(8787) if self._ui else 0
            vectorize = LocalVectorize.start(HOME / "vectorize", lag=LAG, port=port)
            self._cleanup.callback(vectorize.stop)
        detail(vectorize.base_url)
        return vectorize

    def _start_airflow(self, vectorize: LocalVectorize) -> LocalAirflow:
        with step("Start Airflow in the background"):
            settings = vectorize.airflow_env() | {"AIRFLOW_VAR_EMBEDDINGS": f"file://{self._embeddings}"}
            airflow = LocalAirflow(HOME / "airflow", ROOT / "example_dags", settings, 8080 if self._ui else 0)
            self._cleanup.callback(airflow.stop)
            airflow.start()
        detail(f"{airflow.url}, with its home in .demo/airflow")
        return airflow

    def _write_embeddings(self) -> tuple[int, Any]:
        # These imports take a second, so they run while Airflow is starting.
        from embeddings import DIMENSIONS, Embedder, write_objects  # noqa: PLC0415
        from texts import paragraphs  # noqa: PLC0415

        with step(f"Embed text with the model WordLlama, in {DIMENSIONS} dimensions"):
            texts = paragraphs()
            embedder = Embedder()
            objects = write_objects(texts, embedder, self._embeddings / self._night)
        detail(f"{len(texts):,} paragraphs of Airflow's docstrings and configuration reference, as ndjson:")
        for stored in objects:
            name = stored.path.relative_to(ROOT)
            detail(f"{name!s:58} {stored.rows:>6,} rows {stored.bytes / 1e6:>6.1f} MB")
        return len(texts), embedder

    def _load(self, airflow: LocalAirflow, vectorize: LocalVectorize) -> dict[str, Any]:
        vectorize.clear_requests()
        with step(f"Run the DAG {DAG_ID} (example_dags/nightly_load.py)"):
            run_id = airflow.trigger(DAG_ID, {"night": self._night})
            triggered = time.monotonic()
            for task in airflow.follow(DAG_ID, run_id, 240):
                if task["state"] in REPORTED_STATES:
                    seconds = time.monotonic() - triggered
                    detail(f"{seconds:5.1f} s  {task['task_id']:12} {REPORTED_STATES[task['state']]}")
        receipt: dict[str, Any] = airflow.xcom(DAG_ID, run_id, "load")
        answer = airflow.xcom(DAG_ID, run_id, "ask")
        with client_of(vectorize) as client:
            processed = client.get_index_info(INDEX).processed_up_to_datetime
        acknowledged = vectorize.requests("upsert")[-1].ended
        assert processed
        assert acknowledged
        detail()
        detail(f"rows read      {receipt['vectors'] + receipt['rejected']:,}, of which {receipt['rejected']} rejected")
        detail(f"batches        {receipt['batches']}")
        detail(f"bytes sent     {receipt['bytes_sent']:,}")
        detail(f"mutation id    {receipt['mutation_id']} (the last of {len(receipt['mutation_ids'])})")
        detail(f"visible after  {processed.timestamp() - acknowledged:.1f} s")
        nearest = answer["matches"][0]
        detail(f"query          nearest to a loaded vector is the vector itself, score {nearest['score']:.3f}")
        return receipt

    def _ask(self, vectorize: LocalVectorize, embedder: Any) -> None:
        with step("Embed questions with the same model, and show the nearest paragraphs with their scores"):
            vectors = embedder.embed([question for question, _ in QUESTIONS])
            with client_of(vectorize) as client:
                answers = [
                    client.query(INDEX, vector=vector.tolist(), top_k=3, namespace=namespace, return_metadata="all")
                    for vector, (_, namespace) in zip(vectors, QUESTIONS, strict=True)
                ]
        for (question, namespace), answer in zip(QUESTIONS, answers, strict=True):
            detail()
            detail(question + (f" (only in the namespace {namespace})" if namespace else ""))
            if not answer.matches:
                raise DemoError(f"The query returned no match for: {question}")
            for match in answer.matches:
                metadata = match.metadata or {}
                detail(f"{match.score:.3f}  {textwrap.shorten(metadata['text'], 100, placeholder=' …')}")
                detail(f"       {metadata['file']}")

    def _compare(self, rows: int, receipt: dict[str, Any], before: int | None, after: int | None) -> None:
        with step("Check that the numbers match"):
            if receipt["vectors"] != rows or receipt["rejected"]:
                raise DemoError(f"The source has {rows:,} rows, but this is the receipt: {receipt}")
            if after != rows:
                raise DemoError(f"{rows:,} rows were loaded, but the index has {after:,} vectors.")
            if before not in (None, 0, rows):
                raise DemoError(f"Before the load, the index had {before:,} vectors, not {rows:,}.")
        detail(f"{rows:,} paragraphs, {receipt['vectors']:,} vectors acknowledged, {after:,} in the index.")
        if before:
            detail(f"The index had {before:,} of them before this run, which upsert overwrote.")

    def _keep_running(self, airflow: LocalAirflow, vectorize: LocalVectorize) -> None:
        folder = f"file://{self._embeddings / self._night}"
        print(
            f"\nStill running, reachable from this machine only. Press Ctrl-C to stop.\n\n"
            f"  Airflow          {airflow.url}/dags/{DAG_ID}\n"
            f"                   Everyone who opens it is an administrator without a password.\n"
            f"  Local Vectorize  http://127.0.0.1:{vectorize.port}/\n"
            f"                   API base {vectorize.base_url}\n"
            f"                   account  {vectorize.account_id}\n"
            f"                   token    {vectorize.token}\n\n"
            f"  To run the other example DAGs, trigger them with these parameters:\n"
            f"    mapped_load      folder  {folder}\n"
            f"    taskflow_load    source  {folder}/*",
            flush=True,
        )
        while True:
            airflow.check()
            time.sleep(1)


class Steps:
    """Prints numbered steps, each with its duration and with details below."""

    def __init__(self) -> None:
        self._number = 0
        self._in_title = False

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print a title, run the step, and print its duration after the title or after the details."""
        self._number += 1
        print(f"{self._number}. {title}", end="", flush=True)
        self._in_title = True
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            if not self._in_title:
                print(f"   ({seconds:.1f} s)", flush=True)
            else:
                print(f"  ({seconds:.1f} s)" if seconds >= 0.1 else "", flush=True)
            self._in_title = False

    def detail(self, text: str = "") -> None:
        """Print a line below the title."""
        print(("\n" if self._in_title else "") + f"   {text}".rstrip(), flush=True)
        self._in_title = False


STEPS = Steps()
step, detail = STEPS.step, STEPS.detail


def client_of(vectorize: LocalVectorize) -> VectorizeClient:
    """Return a client of the local Vectorize that needs no Airflow."""
    return VectorizeClient(Credentials(vectorize.account_id, vectorize.token, base_url=vectorize.base_url))


def vector_count(vectorize: LocalVectorize) -> int | None:
    """Return the number of vectors in the index, or ``None`` if the index does not exist."""
    with client_of(vectorize) as client:
        try:
            return client.get_index_info(INDEX).vector_count
        except IndexNotFoundError:
            return None


@contextmanager
def exclusive_lock() -> Iterator[None]:
    """Refuse to run two demos at the same time, because they would use the same files."""
    HOME.mkdir(exist_ok=True)
    with open(HOME / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("Another demo is running, perhaps make demo-ui in another window. Stop it first.") from None
        yield


def remove_files_of_other_versions() -> None:
    """Remove files written with other package versions: the text and Airflow's database depend on them."""
    packages = {
        f"{package.name}=={package.version}" for package in distributions() if package.name.startswith(PACKAGES)
    }
    text = Path(__file__).with_name("texts.py").read_text()
    versions = "\n".join([*sorted(packages), hashlib.sha256(text.encode()).hexdigest()])
    versions_file = HOME / "made-with"
    if versions_file.exists() and versions_file.read_text() == versions:
        return
    if versions_file.exists():
        print("Removed the files in .demo/, which were written with other versions.\n")
    for name in ("airflow", "storage", "vectorize"):
        shutil.rmtree(HOME / name, ignore_errors=True)
    versions_file.write_text(versions)


def _interrupt(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Stopping takes some seconds and must not be interrupted.
    raise KeyboardInterrupt


if __name__ == "__main__":
    # Requests to this machine must not use a proxy.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    sys.exit(main())
