"""The nightly load from end to end: real text, real embeddings, real Airflow, a local Vectorize.

python demo/run.py         runs it and ends
python demo/run.py --ui    runs it and leaves Airflow's UI and the local Vectorize running until Ctrl-C

Everything is kept in .demo/, so that a second run finds its index there. Nothing leaves this machine.
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
#: What the text is from, and what it is embedded with.
PACKAGES = ("apache-airflow", "wordllama")
#: Seconds from a write to its visibility. Cloudflare's is 5 to 80.
LAG = 4.0
SAID_STATES = {"deferred": "deferred: the triggerer waits, no worker is held", "success": "success"}
QUESTIONS: tuple[tuple[str, str | None], ...] = (
    ("How many runs of a DAG may be active at the same time?", None),
    ("How do I delete the files in an S3 bucket?", None),
    ("How can a task wait for something without occupying a worker slot?", "core"),
)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description="The nightly load on real text and real Airflow.")
    parser.add_argument("--ui", action="store_true", help="leave Airflow's UI and the local Vectorize running")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        with only_one(), ExitStack() as running:
            Demo(running, ui=options.ui).run()
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.")
        return 0 if options.ui else 130
    except DemoError as error:
        print(f"\nThe demo failed. {error}", file=sys.stderr)
        return 1
    return 0


class Demo:
    """Its steps, in order.

    :param running: ends what the steps start.
    :param ui: whether to stay.
    """

    def __init__(self, running: ExitStack, *, ui: bool) -> None:
        self._running = running
        self._ui = ui
        self._began = time.monotonic()
        self._night = datetime.now(UTC).date().isoformat()
        self._embeddings = HOME / "storage" / "embeddings"

    def run(self) -> None:
        """All of them."""
        airflow_version = version("apache-airflow")
        print(f"The nightly load, on Airflow {airflow_version}, with the text of its own documentation.\n")
        forget_other_versions()
        vectorize = self._start_vectorize()
        before = count(vectorize)
        airflow = self._start_airflow(vectorize)
        rows, embedder = self._write_embeddings()
        with step("Airflow is ready: API server, scheduler, triggerer, DAG processor"):
            airflow.wait_until_ready(DAG_ID, 240)
        receipt = self._load(airflow, vectorize)
        self._ask(vectorize, embedder)
        self._compare(rows, receipt, before, count(vectorize))
        print(f"\nAll is well, after {time.monotonic() - self._began:.0f} s.")
        if self._ui:
            self._stay(airflow, vectorize)

    def _start_vectorize(self) -> LocalVectorize:
        with step(f"A local Vectorize starts; what is written shows after {LAG:g} s"):
            port = free_port(8787) if self._ui else 0
            vectorize = LocalVectorize.start(HOME / "vectorize", lag=LAG, port=port)
            self._running.callback(vectorize.stop)
        detail(vectorize.base_url)
        return vectorize

    def _start_airflow(self, vectorize: LocalVectorize) -> LocalAirflow:
        with step("Airflow starts, in the background"):
            settings = vectorize.airflow_env() | {"AIRFLOW_VAR_EMBEDDINGS": f"file://{self._embeddings}"}
            airflow = LocalAirflow(HOME / "airflow", ROOT / "example_dags", settings, 8080 if self._ui else 0)
            self._running.callback(airflow.stop)
            airflow.start()
        detail(f"{airflow.url}, home .demo/airflow")
        return airflow

    def _write_embeddings(self) -> tuple[int, Any]:
        # Here, because they take a second to import, while Airflow is starting already.
        from embeddings import DIMENSIONS, Embedder, write_objects  # noqa: PLC0415
        from texts import paragraphs  # noqa: PLC0415

        with step(f"Text becomes embeddings of {DIMENSIONS} dimensions, by the model WordLlama"):
            found = paragraphs()
            embedder = Embedder()
            objects = write_objects(found, embedder, self._embeddings / self._night)
        detail(f"{len(found):,} paragraphs of Airflow's docstrings and configuration reference, as ndjson:")
        for stored in objects:
            name = stored.path.relative_to(ROOT)
            detail(f"{name!s:58} {stored.rows:>6,} rows {stored.bytes / 1e6:>6.1f} MB")
        return len(found), embedder

    def _load(self, airflow: LocalAirflow, vectorize: LocalVectorize) -> dict[str, Any]:
        vectorize.clear_requests()
        with step(f"The DAG {DAG_ID} runs (example_dags/nightly_load.py)"):
            run_id = airflow.trigger(DAG_ID, {"night": self._night})
            began = time.monotonic()
            for task in airflow.follow(DAG_ID, run_id, 240):
                if task["state"] in SAID_STATES:
                    seconds = time.monotonic() - began
                    detail(f"{seconds:5.1f} s  {task['task_id']:12} {SAID_STATES[task['state']]}")
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
        detail(
            f"the DAG asked for the neighbours of a vector it loaded; the nearest, with {nearest['score']:.3f}, is it"
        )
        return receipt

    def _ask(self, vectorize: LocalVectorize, embedder: Any) -> None:
        with step("Plain questions, embedded by the same model: the nearest paragraphs, with their scores"):
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
                raise DemoError(f"Nothing was found for: {question}")
            for match in answer.matches:
                metadata = match.metadata or {}
                detail(f"{match.score:.3f}  {textwrap.shorten(metadata['text'], 100, placeholder=' …')}")
                detail(f"       {metadata['file']}")

    def _compare(self, rows: int, receipt: dict[str, Any], before: int | None, after: int | None) -> None:
        with step("The numbers agree"):
            if receipt["vectors"] != rows or receipt["rejected"]:
                raise DemoError(f"{rows:,} rows were written, but the receipt says {receipt}")
            if after != rows:
                raise DemoError(f"{rows:,} rows were loaded, but the index has {after:,} vectors.")
            if before not in (None, 0, rows):
                raise DemoError(f"Before, the index had {before:,} vectors, not {rows:,}.")
        detail(f"{rows:,} paragraphs, {receipt['vectors']:,} vectors acknowledged, {after:,} in the index.")
        if before:
            detail(f"It had {before:,} of them before this run: upsert replaced them. Nothing broke.")

    def _stay(self, airflow: LocalAirflow, vectorize: LocalVectorize) -> None:
        folder = f"file://{self._embeddings / self._night}"
        print(
            f"\nStill running, for this machine only. Ctrl-C ends it.\n\n"
            f"  Airflow          {airflow.url}/dags/{DAG_ID}\n"
            f"                   No password: whoever opens it is admin.\n"
            f"  Local Vectorize  http://127.0.0.1:{vectorize.port}/\n"
            f"                   API base {vectorize.base_url}\n"
            f"                   account  {vectorize.account_id}\n"
            f"                   token    {vectorize.token}\n\n"
            f"  The other example DAGs are there as well; give them, when you trigger them:\n"
            f"    mapped_load      folder  {folder}\n"
            f"    taskflow_load    source  {folder}/*",
            flush=True,
        )
        while True:
            airflow.check()
            time.sleep(1)


class Steps:
    """Prints numbered steps, each with the time it took and with details below."""

    def __init__(self) -> None:
        self._number = 0
        self._in_title = False

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step. Its time follows the title, or the details where there are some meanwhile."""
        self._number += 1
        print(f"{self._number}. {title}", end="", flush=True)
        self._in_title = True
        began = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            if not self._in_title:
                print(f"   ({seconds:.1f} s)", flush=True)
            else:
                print(f"  ({seconds:.1f} s)" if seconds >= 0.1 else "", flush=True)
            self._in_title = False

    def detail(self, text: str = "") -> None:
        """A line below the title."""
        print(("\n" if self._in_title else "") + f"   {text}".rstrip(), flush=True)
        self._in_title = False


STEPS = Steps()
step, detail = STEPS.step, STEPS.detail


def client_of(vectorize: LocalVectorize) -> VectorizeClient:
    """A client of the provider's own, without Airflow."""
    return VectorizeClient(Credentials(vectorize.account_id, vectorize.token, base_url=vectorize.base_url))


def count(vectorize: LocalVectorize) -> int | None:
    """How many vectors the index has, or ``None`` where there is no index."""
    with client_of(vectorize) as client:
        try:
            return client.get_index_info(INDEX).vector_count
        except IndexNotFoundError:
            return None


@contextmanager
def only_one() -> Iterator[None]:
    """Two demos would use the same files."""
    HOME.mkdir(exist_ok=True)
    with open(HOME / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("Another demo is running; perhaps make demo-ui in another window. End it first.") from None
        yield


def forget_other_versions() -> None:
    """Other packages have other text, and another Airflow has another database: start over."""
    packages = {f"{one.name}=={one.version}" for one in distributions() if one.name.startswith(PACKAGES)}
    text = Path(__file__).with_name("texts.py").read_text()
    now = "\n".join([*sorted(packages), hashlib.sha256(text.encode()).hexdigest()])
    made_with = HOME / "made-with"
    if made_with.exists() and made_with.read_text() == now:
        return
    if made_with.exists():
        print("What is in .demo/ was made with other versions: starting over.\n")
    for name in ("airflow", "storage", "vectorize"):
        shutil.rmtree(HOME / name, ignore_errors=True)
    made_with.write_text(now)


def _interrupted(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # ending takes some seconds, and is not to be interrupted
    raise KeyboardInterrupt


if __name__ == "__main__":
    # Where a proxy is set, it is not for this machine.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    sys.exit(main())
