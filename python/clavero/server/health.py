"""The metrics listener: /metrics for Prometheus, /livez and /readyz for whoever keeps it running.

It stands on an address of its own, so that nobody who may call KMS sees it, and a probe needs no
certificate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE: Final = 5.0


class HealthListener:
    """Answers on `host:port` (0 takes a free one) until `close`.

    `metrics` gives Prometheus' text; `ready` says whether calls would be answered.
    """

    def __init__(
        self, host: str, port: int, metrics: Callable[[], str], ready: Callable[[], bool]
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE  # a connection that says nothing ends
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                status, text = 404, "There is /metrics, /livez and /readyz.\n"
                if self.path == "/metrics":
                    status, text = 200, metrics()
                elif self.path == "/livez":
                    status, text = 200, "live\n"
                elif self.path == "/readyz":
                    status, text = (200, "ready\n") if ready() else (503, "not ready\n")
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", _TEXT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                """Probes come every few seconds: nobody reads a line about each."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port: Final[int] = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="clavero-health", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_PATIENCE)
