"""The process of one attempt. It imports Airflow, which is slow, so that only the server of forks imports it."""

from __future__ import annotations

import logging
import os
import threading
from multiprocessing.connection import Connection

# A sync imports these modules when it needs them. Imported here, they cost each process no time.
import aiobotocore.session  # noqa: F401
import airflow.providers.amazon.aws.hooks.base_aws  # noqa: F401
import pandas as pd  # noqa: F401 - pyarrow imports it
import pyarrow.parquet  # noqa: F401
import s3fs  # noqa: F401
import xxhash  # noqa: F401

from airflow_provider_vectorize import storage
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import SyncError, VectorizeError
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.sync import audit, decisions
from airflow_provider_vectorize.sync.options import SyncOptions
from airflow_provider_vectorize.sync.run import SyncRun
from airflow_provider_vectorize.visibility import rule
from airflow_provider_vectorize.visibility.monitor import IndexMonitor
from tests.support import FileTarget
from tests.sync.switches import without

from .attempt import AttemptConfig, Ending
from .events import KillSwitch

log = logging.getLogger("storm")


def run(config: AttemptConfig, sender: Connection) -> None:
    """Run the attempt, and send how it ended."""
    os.environ.update(config.environment)
    with open(config.folder / "log.txt", "ab") as file:  # It also receives Airflow's own log.
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    logging.basicConfig(
        level=logging.INFO,
        format="%(process)d %(relativeCreated)d %(threadName)s %(message)s",
        force=True,
    )
    # These waits give Cloudflare time. The local Vectorize needs less.
    audit.CHECK_SECONDS, audit.READ_SECONDS = 0.02, 0.3
    decisions.FREE_DELETES = 3  # The sources are small, and the brake has to act in some of them.
    rule.MARKER_INTERVAL_SECONDS, rule.MARKER_JITTER_SECONDS = 0.2, 0.1
    log.info("Attempt with kill=%s, approve=%s", config.kill, config.approve)
    with without(os.environ.get("STORM_WITHOUT")):
        sender.send(_run(config, sender))


def _run(config: AttemptConfig, sender: Connection) -> Ending:
    folder = storage.StoredFolder(config.state, None)
    sent = threading.Lock()

    def report(event: str) -> None:
        if sent.acquire(blocking=False):
            sender.send(Ending("killed", event))

    def client(limits: Limits, retry: RetryPolicy) -> VectorizeClient:
        return VectorizeClient(config.credentials, limits=limits, retry=retry, timeout=config.timeout)

    retry = RetryPolicy(total=config.retry_seconds, first=0.01, longest=0.2)
    sync_run = SyncRun(
        lambda: client(config.limits, retry),
        lambda: IndexMonitor(client(Limits(late_seconds=0), RetryPolicy(total=0)), config.index),
        config.index,
        storage.find(config.objects),
        folder,
        SyncOptions(
            delete_vanished=config.delete_vanished,
            max_deletes=config.max_deletes,
            approve=config.approve,
            load=LoadOptions(
                limits=config.limits,
                max_in_flight=config.max_in_flight,
                dead_letters=DeadLetters(FileTarget(config.folder / "bad.ndjson"), "storm"),
            ),
        ),
        probe=KillSwitch(folder, config.kill, report),
    )
    try:
        result = sync_run.run()
    except SyncError as error:
        log.warning("The attempt is red.", exc_info=True)
        return Ending("failed" if error.result is None else "red", str(error), error.plan)
    except VectorizeError as error:
        log.warning("The attempt failed.", exc_info=True)
        return Ending("failed", str(error))
    log.info("The attempt is green: %s", result.describe())
    return Ending("green", result.describe())
