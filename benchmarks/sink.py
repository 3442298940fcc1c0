"""A server that accepts the requests of Vectorize and discards their bodies as fast as the kernel can.

The server must not limit a measurement, so it does as little as possible: it uses one thread per connection, parses the
headers itself, and discards bodies in the kernel without a copy (``MSG_TRUNC`` on Linux). It counts writes and their
bytes, and checks nothing. ``--latency`` delays each response to a write, and ``--rate`` limits each connection.

With ``--holds-corpus`` it answers reads by ID as if the index held the rows of ``corpus.py``, because a sync reads a
sample of its vectors back.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import corpus

BUFFER_BYTES = 1 << 20
#: Bytes received at a time if the rate is limited.
LIMITED_BUFFER_BYTES = 262_144


class Sink:
    """Listens on a free port of the loopback interface, with one thread per connection.

    :param dimensions: Dimensions of the index in responses.
    :param latency: Seconds before the response to a write.
    :param rate: Maximum MB/s of each connection, 0 for no limit.
    :param holds_corpus: Whether reads by ID return the rows of the corpus, instead of nothing.
    """

    def __init__(self, dimensions: int, latency: float, rate: float, holds_corpus: bool = False) -> None:
        self.dimensions = dimensions
        self.rows = corpus.distinct_rows(dimensions) if holds_corpus else []
        self.last_mutation: str | None = None
        self.latency = latency
        self.rate = rate * 1e6
        self.lock = threading.Lock()
        self.counts = {"requests": 0, "reads": 0, "bytes": 0, "largest": 0}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        # Accepted connections inherit this size. With the default, the sender waits for the receiver.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve_connection, args=(connection,), daemon=True).start()

    def serve_connection(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer, ahead = bytearray(BUFFER_BYTES), b""
        try:
            while True:
                while b"\r\n\r\n" not in ahead:
                    piece = connection.recv(65_536)
                    if not piece:
                        return
                    ahead += piece
                head, ahead = ahead.split(b"\r\n\r\n", 1)
                line, *fields = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
                if headers.get("expect", "").lower() == "100-continue":
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                if headers.get("transfer-encoding", "").lower() == "chunked":
                    size, ahead = self.discard_chunks(connection, ahead)
                    body = b""
                elif "/get_by_ids " in line:
                    size = int(headers.get("content-length", "0"))
                    body, ahead = self.receive(connection, ahead, size)
                else:
                    size, body = int(headers.get("content-length", "0")), b""
                    ahead = self.discard(connection, ahead, size, buffer)
                connection.sendall(self.respond(line, size, body))
        except (ConnectionError, TimeoutError):
            return
        finally:
            connection.close()

    def discard(self, connection: socket.socket, ahead: bytes, size: int, buffer: bytearray) -> bytes:
        """Discard a body of a known size, and return the bytes received after it."""
        left = size - len(ahead)
        if left < 0:
            return ahead[size:]
        started, received = time.monotonic(), 0
        flags = getattr(socket, "MSG_TRUNC", 0) if sys.platform == "linux" else 0
        while left:
            count = connection.recv_into(buffer, min(left, LIMITED_BUFFER_BYTES if self.rate else BUFFER_BYTES), flags)
            if not count:
                raise ConnectionResetError
            left -= count
            received += count
            if self.rate and (early := received / self.rate - (time.monotonic() - started)) > 0:
                time.sleep(early)
        return b""

    @staticmethod
    def receive(connection: socket.socket, ahead: bytes, size: int) -> tuple[bytes, bytes]:
        """Return a body of a known size, and the bytes received after it."""
        while len(ahead) < size:
            piece = connection.recv(BUFFER_BYTES)
            if not piece:
                raise ConnectionResetError
            ahead += piece
        return ahead[:size], ahead[size:]

    def discard_chunks(self, connection: socket.socket, ahead: bytes) -> tuple[int, bytes]:
        """Discard a chunked body, and return its size and the bytes received after it."""
        total = 0
        while True:
            while b"\r\n" not in ahead:
                ahead += connection.recv(BUFFER_BYTES)
            text, ahead = ahead.split(b"\r\n", 1)
            size = int(text.split(b";")[0], 16)
            while len(ahead) < size + 2:
                ahead += connection.recv(BUFFER_BYTES)
            ahead = ahead[size + 2 :]
            total += size
            if not size:
                return total, ahead

    def vectors(self, ids: list[str]) -> list[dict[str, Any]]:
        """Return the vectors of the corpus with these IDs."""
        if not self.rows:
            return []
        found = [(vector_id, self.rows[corpus.row_number(vector_id) % len(self.rows)]) for vector_id in ids]
        return [
            {"id": vector_id, "values": values, "metadata": {"page": page, "lang": "en"}}
            for vector_id, (values, page) in found
        ]

    def respond(self, line: str, size: int, body: bytes) -> bytes:
        """Return the response to a request, and count it."""
        method, path = line.split(" ")[:2]
        path = path.split("?")[0]
        result: object
        if path == "/counts":
            with self.lock:
                result = dict(self.counts)
        elif path == "/reset":
            with self.lock:
                self.counts = dict.fromkeys(self.counts, 0)
            result = None
        elif method == "GET" or path.endswith("/get_by_ids"):
            with self.lock:
                self.counts["reads"] += 1
            result = self.vectors(json.loads(body)["ids"]) if method == "POST" else self.describe_index()
        else:
            mutation = str(uuid.uuid4())
            with self.lock:
                self.counts["requests"] += 1
                self.counts["bytes"] += size
                self.counts["largest"] = max(self.counts["largest"], size)
                self.last_mutation = mutation
            time.sleep(self.latency)
            result = {"mutationId": mutation}
        return self.encode(result)

    def describe_index(self) -> dict[str, Any]:
        """Return the index with its state. Each write is visible at once."""
        return {
            "name": "bench",
            "created_on": "2026-01-01T00:00:00.000000Z",
            "config": {"dimensions": self.dimensions, "metric": "cosine"},
            "dimensions": self.dimensions,
            "vectorCount": 0,
            "processedUpToMutation": self.last_mutation,
            "processedUpToDatetime": datetime.now(UTC).isoformat() if self.last_mutation else None,
        }

    @staticmethod
    def encode(result: object) -> bytes:
        """Return a response of Vectorize."""
        body = json.dumps({"success": True, "result": result, "errors": [], "messages": []}).encode()
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Date: {formatdate(usegmt=True)}\r\n\r\n"
        )
        return head.encode() + body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--holds-corpus", action="store_true")
    args = parser.parse_args()
    sink = Sink(args.dimensions, args.latency, args.rate, args.holds_corpus)
    sys.stdout.write(f"{sink.port}\n")
    sys.stdout.flush()
    # The server exits when its standard input closes, which also happens if the parent process is killed.
    threading.Thread(target=sink.serve, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
