"""An HTTP server on 127.0.0.1 with faults on request, for tests of the network."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Resource:
    """A served resource with its faults; each request uses up one of them."""

    def __init__(
        self, data: bytes, content_type: str = "application/octet-stream", *faults: str
    ) -> None:
        self.data = data
        self.content_type = content_type
        self.faults = list(faults)
        self.length = str(len(data))  # as HEAD states it
        self.requests = 0
        self.served = 0


class LocalServer(ThreadingHTTPServer):
    """A server of `resources` by path; it supports ranges except with the fault "whole"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.resources: dict[str, Resource] = {}
        self.released = threading.Event()
        self.heard: list[str] = []  # the received logins

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer

    def do_HEAD(self) -> None:
        resource = self.server.resources.get(self.path)
        if resource and resource.faults == ["drip"]:
            self._drip()
            return
        self.send_response(200 if resource else 404)
        self.send_header("Content-Length", resource.length if resource else "0")
        self.end_headers()

    def do_GET(self) -> None:
        resource = self.server.resources.get(self.path)
        if resource is None:
            self.send_error(404)
            return
        resource.requests += 1
        self.server.heard.append(self.headers.get("Authorization", ""))
        fault = resource.faults.pop(0) if resource.faults else ""
        if fault.startswith(("4", "5")):
            self.send_error(int(fault))
        elif fault.startswith("to "):
            self.send_response(302)
            self.send_header("Location", fault.removeprefix("to "))
            self.end_headers()
        elif fault == "stall":
            self.server.released.wait(20)
        elif fault == "drip":
            self._drip()
        else:
            self._send(resource, fault)

    def _drip(self) -> None:
        """Send headers letter by letter, without an end."""
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        while not self.server.released.wait(0.05):
            self.wfile.write(b"x")

    def _send(self, resource: Resource, fault: str) -> None:
        data, size = resource.data, len(resource.data)
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if span and fault != "whole":
            first = int(span[1]) if span[1] else max(0, size - int(span[2]))
            last = min(size - 1, int(span[2] or size)) if span[1] else size - 1
            if first >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size + (fault == 'grown')}")
            data = data[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Type", resource.content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault == "reset":
            data = data[: len(data) // 2]
        # Counted before it is sent: the client may be done before this thread goes on.
        resource.served += len(data)
        for byte in range(len(data)) if fault == "trickle" else ():
            self.wfile.write(data[byte : byte + 1])
            if self.server.released.wait(0.05):
                return
        self.wfile.write(data)
        if fault == "reset":
            self.connection.close()

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that has had enough
            super().handle()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving() -> Iterator[LocalServer]:
    """Run a server during a test."""
    with LocalServer() as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
