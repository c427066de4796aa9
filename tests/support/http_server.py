"""An HTTP server on loopback whose every reply a test chooses."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator


class Handler(http.server.BaseHTTPRequestHandler):
    """Replies to every POST with `status`."""

    status = 401

    def do_POST(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def serve() -> Iterator[tuple[type[Handler], str]]:
    """Serve until the end of a test: the handler, whose `status` it may set, and the address."""
    handler = type("Handler", (Handler,), {})
    found = http.server.HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield handler, f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    thread.join()
    found.server_close()
