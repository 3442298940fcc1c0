"""Run two nights of a sync from end to end: with real text, embeddings and Airflow, and a local Vectorize.

python demo/run.py         run both nights and exit
python demo/run.py --ui    run both nights and keep Airflow's UI and the local Vectorize running until Ctrl-C

All files are in .demo/. Each run starts with an empty index. Nothing leaves this machine.
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
from importlib.metadata import distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_airflow import DemoError, LocalAirflow, free_port
from steps import Steps

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.local.handle import LocalVectorize

if TYPE_CHECKING:
    from corpus import Corpus

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".demo"
CORPUS = HOME / "storage" / "corpus"
STATE = HOME / "storage" / "vectorize-state"
DAG_ID = "nightly_sync"
INDEX = "docs"
#: Number of objects of the corpus.
OBJECTS = 2
#: Packages that contain the text and the embedding model.
PACKAGES = ("apache-airflow", "wordllama")
#: Seconds from a write to its visibility. On Cloudflare, 5 to 80 seconds were observed.
LAG = 2.0
REPORTED_STATES = {"deferred": "deferred: waits in the triggerer, without a worker", "success": "success"}
QUESTIONS: tuple[tuple[str, str | None], ...] = (
    ("How many runs of a DAG may be active at the same time?", None),
    ("How do I delete the files in an S3 bucket?", None),
    ("How can a task wait for something without occupying a worker slot?", "core"),
)


def main() -> int:
    """Run the demo, and return the exit status."""
    parser = argparse.ArgumentParser(description="Run two nights of a sync on real text and a real Airflow.")
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

    def run(self) -> None:
        """Run all steps."""
        airflow_version = version("apache-airflow")
        print(f"Two nights of a sync on Airflow {airflow_version}, with the text of its own documentation.\n")
        remove_files_of_other_versions()
        for folder in (CORPUS, STATE, HOME / "vectorize"):  # The first night starts with an empty index.
            shutil.rmtree(folder, ignore_errors=True)
        vectorize = self._start_vectorize()
        airflow = self._start_airflow(vectorize)
        corpus = self._write_corpus()
        with step("Wait until Airflow is ready: API server, scheduler, triggerer, DAG processor"):
            airflow.wait_until_ready(DAG_ID, 240)
        first = self._run_night(airflow, "Night 1: run the DAG nightly_sync (example_dags/nightly_sync.py)")
        self._edit(corpus)
        second = self._run_night(airflow, "Night 2: run it again")
        self._compare(first, second)
        self._check(vectorize, corpus, second)
        self._ask(vectorize, corpus.embedder)
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
            variables = {"AIRFLOW_VAR_CORPUS": CORPUS.as_uri(), "AIRFLOW_VAR_SYNC_STATE": STATE.as_uri()}
            settings = vectorize.airflow_env() | variables
            airflow = LocalAirflow(HOME / "airflow", ROOT / "example_dags", settings, 8080 if self._ui else 0)
            self._cleanup.callback(airflow.stop)
            airflow.start()
        detail(f"{airflow.url}, with its home in .demo/airflow")
        return airflow

    def _write_corpus(self) -> Corpus:
        # This import takes a second, so it runs while Airflow is starting.
        from corpus import Corpus  # noqa: PLC0415

        with step("Embed text with the model WordLlama, in 256 dimensions"):
            corpus = Corpus(CORPUS)
            corpus.write_first_night()
        detail(f"{len(corpus):,} paragraphs of Airflow's docstrings and configuration reference, as ndjson:")
        for path, rows in corpus.objects():
            detail(f"{path.relative_to(ROOT)!s:46} {rows:>6,} rows {path.stat().st_size / 1e6:>6.1f} MB")
        return corpus

    def _run_night(self, airflow: LocalAirflow, title: str) -> dict[str, Any]:
        """Run the DAG, and return the result of its sync with the seconds that the task took."""
        with step(title):
            run_id = airflow.trigger(DAG_ID, {})
            triggered = time.monotonic()
            seconds = 0.0
            for task in airflow.follow(DAG_ID, run_id, 240):
                if task["task_id"] == "sync" and task["state"] == "success":
                    seconds = task["duration"]
                if task["state"] in REPORTED_STATES:
                    passed = time.monotonic() - triggered
                    detail(f"{passed:5.1f} s  {task['task_id']:12} {REPORTED_STATES[task['state']]}")
        result: dict[str, Any] = airflow.xcom(DAG_ID, run_id, "sync")
        return result | {"seconds": seconds}

    def _edit(self, corpus: Corpus) -> None:
        with step("Overnight, people edit the text"):
            edits = corpus.write_second_night()
        detail(f"{edits.changed} paragraphs are revised, {edits.removed} are removed, and {edits.added} are new.")
        detail("All of them are in airflow.ndjson. The file providers.ndjson.gz stays unchanged.")

    def _compare(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        with step("Compare what the nights have sent"):
            table = {
                "objects opened": lambda night: f"{OBJECTS - night['objects_skipped']} of {OBJECTS}",
                "rows read": lambda night: f"{night['rows_read']:,}",
                "vectors added": lambda night: f"{night['added']:,}",
                "vectors changed": lambda night: f"{night['changed']:,}",
                "vectors unchanged": lambda night: f"{night['unchanged']:,}",
                "vectors deleted": lambda night: f"{night['deleted']:,}",
                "requests that write": lambda night: f"{night['batches']:,}",
                "MB sent": lambda night: f"{night['bytes_sent'] / 1e6:.2f}",
                "seconds of the task": lambda night: f"{night['seconds']:.1f}",
            }
        detail(f"{'':20} {'night 1':>10} {'night 2':>10}")
        for name, text in table.items():
            detail(f"{name:20} {text(first):>10} {text(second):>10}")
        share = second["bytes_sent"] / first["bytes_sent"]
        detail(f"Night 2 has sent {share:.1%} of the bytes of night 1. A load would send all of them again.")

    def _check(self, vectorize: LocalVectorize, corpus: Corpus, second: dict[str, Any]) -> None:
        with step("Check that the index equals the corpus"), client_of(vectorize) as client:
            expected = {"added": corpus.edits.added, "changed": corpus.edits.changed, "deleted": corpus.edits.removed}
            found = {name: second[name] for name in expected}
            if found != expected:
                raise DemoError(f"The second night should have {expected}, but it has {found}.")
            count = client.get_index_info(INDEX).vector_count
            if count != len(corpus):
                raise DemoError(f"The corpus has {len(corpus):,} paragraphs, but the index has {count:,} vectors.")
            (revised,) = client.get_by_ids(INDEX, [corpus.an_edited_id])
            if client.get_by_ids(INDEX, [corpus.a_removed_id]):
                raise DemoError("A removed paragraph is still in the index.")
        detail(f"{count:,} paragraphs, {count:,} vectors. The removed ones are gone, the revised ones are new:")
        detail(textwrap.shorten((revised.metadata or {})["text"], 100, placeholder=" …"))

    def _ask(self, vectorize: LocalVectorize, embedder: Any) -> None:
        with step("Embed questions with the same model, and show the nearest paragraphs with their scores"):
            vectors = embedder.embed([question for question, _ in QUESTIONS])
            with client_of(vectorize) as client:
                answers = [
                    client.query(INDEX, vector=vector.tolist(), top_k=2, namespace=namespace, return_metadata="all")
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

    def _keep_running(self, airflow: LocalAirflow, vectorize: LocalVectorize) -> None:
        print(
            f"\nStill running, reachable from this machine only. Press Ctrl-C to stop.\n\n"
            f"  Airflow          {airflow.url}/dags/{DAG_ID}\n"
            f"                   Everyone who opens it is an administrator without a password.\n"
            f"  Local Vectorize  http://127.0.0.1:{vectorize.port}/\n"
            f"                   API base {vectorize.base_url}\n"
            f"                   account  {vectorize.account_id}\n"
            f"                   token    {vectorize.token}\n\n"
            f"  To see a held brake, remove most lines of {(CORPUS / 'airflow.ndjson').relative_to(ROOT)} and trigger\n"
            f'  {DAG_ID}: its task "approve" then waits for your answer under Required Actions.\n\n'
            f"  To run other example DAGs on the same text, trigger mapped_load or taskflow_load with this source:\n"
            f"    {CORPUS.as_uri()}/*.ndjson*",
            flush=True,
        )
        while True:
            airflow.check()
            time.sleep(1)


STEPS = Steps()
step, detail = STEPS.step, STEPS.detail


def client_of(vectorize: LocalVectorize) -> VectorizeClient:
    """Return a client of the local Vectorize that needs no Airflow."""
    return VectorizeClient(Credentials(vectorize.account_id, vectorize.token, base_url=vectorize.base_url))


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
