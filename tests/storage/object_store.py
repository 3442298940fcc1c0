"""An S3 server (moto) on a socket, which records its requests and injects faults."""

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
class RecordedRequest:
    """One request to the server."""

    method: str
    path: str
    query: str
    range: str | None


@dataclass
class ObjectStore:
    """The server's objects, recorded requests and faults.

    :param url: Base URL of the server.
    :param requests: All requests since the last :meth:`put` or :meth:`reset`.
    """

    url: str = ""
    requests: list[RecordedRequest] = field(default_factory=list)
    _error_statuses: dict[str, int] = field(default_factory=dict)
    _actions: dict[tuple[str, int], Callable[[], Any]] = field(default_factory=dict)

    @property
    def connection(self) -> str:
        """Airflow connection, as JSON."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"}
        return json.dumps({"conn_type": "aws", "login": KEY, "password": SECRET, "extra": extra})

    @property
    def client(self) -> Any:
        """A boto3 client, which goes around the provider."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def put(self, key: str, content: bytes) -> str:
        """Write an object, clear the recorded requests, and return the URI of the object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)
        self.requests.clear()
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        """Return the content of an object."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def get_requests(self, key: str) -> list[RecordedRequest]:
        """Return the recorded GET requests for an object."""
        return [request for request in self.requests if request.method == "GET" and request.path == f"/{BUCKET}/{key}"]

    def refuse(self, key: str, status: int) -> None:
        """Answer every request for an object with an error status."""
        self._error_statuses[f"/{BUCKET}/{key}"] = status

    def before_get(self, key: str, number: int, action: Callable[[], Any]) -> None:
        """Run an action before the GET request with this number for an object, counted from 1."""
        self._actions[f"/{BUCKET}/{key}", number] = action

    def reset(self) -> None:
        """Empty the bucket, remove all faults and clear the recorded requests."""
        self._error_statuses.clear()
        self._actions.clear()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")):
            pass
        self.client.create_bucket(Bucket=BUCKET)
        self.requests.clear()

    def record(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Return the WSGI application with recording and faults."""

        def recording_application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
            self.requests.append(
                RecordedRequest(method, path, environ.get("QUERY_STRING", ""), environ.get("HTTP_RANGE"))
            )
            if method == "GET":
                number = sum(request.method == "GET" and request.path == path for request in self.requests)
                if action := self._actions.pop((path, number), None):
                    action()
            if path in self._error_statuses:
                start_response(f"{self._error_statuses[path]} Refused", [("Content-Length", "0")])
                return [b""]
            return application(environ, start_response)

        return recording_application


@contextmanager
def serve() -> Iterator[ObjectStore]:
    """Run the server until the block ends."""
    from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class QuietRequestHandler(MotoRequestHandler):
        def log_request(self, *_: Any) -> None:
            pass

    store = ObjectStore()
    application = store.record(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=QuietRequestHandler)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="object-store", daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
