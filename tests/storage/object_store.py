"""A server that speaks S3's protocol (moto's), over a socket, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BUCKET = "embeddings"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: str
    range: str | None


@dataclass
class ObjectStore:
    """Objects, requests and accidents."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    _refused: dict[str, int] = field(default_factory=dict)
    _plans: dict[tuple[str, int], Callable[[], Any]] = field(default_factory=dict)

    @property
    def connection(self) -> str:
        """For Airflow."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"}
        return json.dumps({"conn_type": "aws", "login": KEY, "password": SECRET, "extra": extra})

    @property
    def client(self) -> Any:
        """Boto's own."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def put(self, key: str, content: bytes) -> str:
        """Write an object, and forget that."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)
        self.asked.clear()
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        """Read an object."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def gets(self, key: str) -> list[Asked]:
        """The reads of an object."""
        return [one for one in self.asked if one.method == "GET" and one.path == f"/{BUCKET}/{key}"]

    def refuse(self, key: str, status: int) -> None:
        """Answer with an error whenever the object is asked for."""
        self._refused[f"/{BUCKET}/{key}"] = status

    def before_get(self, key: str, number: int, action: Callable[[], Any]) -> None:
        """Let something happen before an object is read for so many times."""
        self._plans[f"/{BUCKET}/{key}", number] = action

    def reset(self) -> None:
        """An empty bucket."""
        self._refused.clear()
        self._plans.clear()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")):
            pass
        self.client.create_bucket(Bucket=BUCKET)
        self.asked.clear()

    def wrap(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """The server, with a memory."""

        def application_with_memory(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
            self.asked.append(Asked(method, path, environ.get("QUERY_STRING", ""), environ.get("HTTP_RANGE")))
            if method == "GET":
                times = sum(one.method == "GET" and one.path == path for one in self.asked)
                if plan := self._plans.pop((path, times), None):
                    plan()
            if path in self._refused:
                start_response(f"{self._refused[path]} Refused", [("Content-Length", "0")])
                return [b""]
            return application(environ, start_response)

        return application_with_memory


@contextmanager
def serve() -> Iterator[ObjectStore]:
    """One that runs until the block ends."""
    from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        def log_request(self, *_: Any) -> None:
            pass

    store = ObjectStore()
    application = store.wrap(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="object-store", daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
