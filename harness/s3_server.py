"""A server of S3 on this machine, and one before it that counts requests or answers some of them with an error."""

from __future__ import annotations

import http.client
import http.server
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

#: What subprocesses that use the server need in their environment.
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's S3 server for a while; yield its HOST:PORT. The environment has the keys meanwhile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # moto's own
        from moto.server import ThreadedMotoServer
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    with patch.dict(os.environ, KEYS):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"{host}:{port}"
        finally:
            server.stop()


class FlakyServer:
    """Hands requests on to a server, but for those that it answers with an HTTP status of its own.

    Attributes
    ----------
    refuse
        What to answer to a method and a path; 0 hands it on.
    refused
        How many requests it has answered so.
    done
        Called with the method and the path of each request that was handed on, before its answer is.
    """

    def __init__(self, server: str) -> None:
        self.refuse: Callable[[str, str], int] = lambda method, path: 0
        self.refused = 0
        self.done: Callable[[str, str], None] = lambda method, path: None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.body()
                if status := outer.refuse(self.command, self.path):
                    outer.refused += 1
                    self.answer(status, [], b"")
                    return
                connection = http.client.HTTPConnection(server, timeout=10)
                headers = {key: value for key, value in self.headers.items() if key.lower() != "expect"}
                connection.request(self.command, self.path, body, headers)
                with connection.getresponse() as response:
                    outer.done(self.command, self.path)
                    self.answer(response.status, response.getheaders(), response.read())
                connection.close()

            def body(self) -> bytes:
                """As it came, in chunks or not."""
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                lines = [self.rfile.readline()]
                while size := int(lines[-1].partition(b";")[0], 16):
                    lines += [self.rfile.read(size + 2), self.rfile.readline()]
                while lines[-1] != b"\r\n":
                    lines.append(self.rfile.readline())
                return b"".join(lines)

            def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                size = str(len(body))
                for key, value in headers:
                    if key.lower() == "content-length" and self.command == "HEAD":
                        size = value
                    elif key.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(key, value)
                self.send_header("Content-Length", size)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Say nothing of clients that are gone."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()
