"""A server that takes requests as Vectorize does and throws the bodies away, as fast as the kernel can.

What is measured against it must not be the server, so it does the least that works: one thread a connection, headers
parsed by hand, and bodies dropped inside the kernel (``MSG_TRUNC`` on Linux), which copies nothing. It counts writes
and their bytes, and asks nothing of the body. ``--latency`` is waited before each answer to a write; ``--rate`` limits
each connection.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
import uuid
from email.utils import formatdate

BUFFER = 1 << 20


class Sink:
    """Listens on a free port of the loopback interface; each connection has a thread.

    :param dimensions: of the index that it claims to have.
    :param latency: seconds before the answer to a write.
    :param rate: MB a second for each connection, 0 for no limit.
    """

    def __init__(self, dimensions: int, latency: float, rate: float) -> None:
        self.dimensions = dimensions
        self.latency = latency
        self.rate = rate * 1e6
        self.lock = threading.Lock()
        self.counts = {"requests": 0, "bytes": 0, "largest": 0}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        # Set before accept, so that each connection has it: with the default, the sender waits for the reader.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer, ahead = bytearray(BUFFER), b""
        try:
            while True:
                while b"\r\n\r\n" not in ahead:
                    piece = connection.recv(65_536)
                    if not piece:
                        return
                    ahead += piece
                head, ahead = ahead.split(b"\r\n\r\n", 1)
                line, *fields = head.decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (field.partition(":") for field in fields)}
                if headers.get("expect", "").lower() == "100-continue":
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                if headers.get("transfer-encoding", "").lower() == "chunked":
                    size, ahead = self.chunked(connection, ahead)
                else:
                    size = int(headers.get("content-length", "0"))
                    ahead = self.drop(connection, ahead, size, buffer)
                connection.sendall(self.answer(line, size))
        except (ConnectionError, TimeoutError):
            return
        finally:
            connection.close()

    def drop(self, connection: socket.socket, ahead: bytes, size: int, buffer: bytearray) -> bytes:
        left = size - len(ahead)
        if left < 0:
            return ahead[size:]
        begun, got = time.monotonic(), 0
        flags = getattr(socket, "MSG_TRUNC", 0) if sys.platform == "linux" else 0
        while left:
            n = connection.recv_into(buffer, min(left, 262_144 if self.rate else BUFFER), flags)
            if not n:
                raise ConnectionResetError
            left -= n
            got += n
            if self.rate and (early := got / self.rate - (time.monotonic() - begun)) > 0:
                time.sleep(early)
        return b""

    def chunked(self, connection: socket.socket, ahead: bytes) -> tuple[int, bytes]:
        total = 0
        while True:
            while b"\r\n" not in ahead:
                ahead += connection.recv(BUFFER)
            text, ahead = ahead.split(b"\r\n", 1)
            size = int(text.split(b";")[0], 16)
            while len(ahead) < size + 2:
                ahead += connection.recv(BUFFER)
            ahead = ahead[size + 2 :]
            total += size
            if not size:
                return total, ahead

    def answer(self, line: str, size: int) -> bytes:
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
        elif method == "GET":
            shape = {"dimensions": self.dimensions, "metric": "cosine"}
            result = {"name": "bench", "config": shape, "dimensions": self.dimensions, "vectorCount": 0}
        elif path.endswith("/get_by_ids"):
            result = []
        else:
            with self.lock:
                self.counts["requests"] += 1
                self.counts["bytes"] += size
                self.counts["largest"] = max(self.counts["largest"], size)
            time.sleep(self.latency)
            result = {"mutationId": str(uuid.uuid4())}
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
    args = parser.parse_args()
    sink = Sink(args.dimensions, args.latency, args.rate)
    sys.stdout.write(f"{sink.port}\n")
    sys.stdout.flush()
    # It ends when whoever started it closes its standard input, however that one ended.
    threading.Thread(target=sink.serve, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
