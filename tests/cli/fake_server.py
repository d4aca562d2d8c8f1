"""A server that answers from a script and writes down what it was asked.

Usage: fake_server.py SCRIPT RECORD. SCRIPT is JSON: "METHOD path" -> list of replies, used in turn,
the last one for ever. A reply may have `status`, `type`, `body` (text), `lines` (JSON values, one
per line), `pause` (seconds between lines), `cut` (break off) and `hang` (wait for the client to
leave). The port goes to stdout; RECORD gets one JSON object per request and per client that left.
"""

from __future__ import annotations

import json
import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SCRIPT: dict[str, list[dict[str, Any]]] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
RECORD = Path(sys.argv[2])
LOCK = threading.Lock()
DEFAULTS: dict[str, dict[str, Any]] = {"HEAD /": {"body": ""}}


def record(**fact: object) -> None:
    with LOCK, RECORD.open("a", encoding="utf-8") as file:
        file.write(json.dumps(fact) + "\n")


def next_reply(key: str) -> dict[str, Any]:
    with LOCK:
        replies = SCRIPT.get(key)
        if not replies:
            return DEFAULTS.get(key, {"status": 404, "body": "404 page not found"})
        return replies.pop(0) if len(replies) > 1 else replies[0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        self.close_connection = True
        super().handle_one_request()

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length).decode("utf-8", "replace")
        record(
            method=self.command,
            path=self.path,
            body=json.loads(body) if body.startswith("{") else body,
            headers=dict(self.headers.items()),
        )
        self.reply(next_reply(f"{self.command} {self.path}"))

    def reply(self, reply: dict[str, Any]) -> None:
        self.send_response(reply.get("status", 200))
        self.send_header("Content-Type", reply.get("type", "application/json"))
        self.send_header("Connection", "close")
        if "lines" not in reply:
            data = reply.get("body", "").encode("utf-8", "surrogateescape")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.send_lines(reply)

    def send_lines(self, reply: dict[str, Any]) -> None:
        for line in reply["lines"]:
            text = line if isinstance(line, str) else json.dumps(line)
            data = (text + "\n").encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
            time.sleep(reply.get("pause", 0))
        if reply.get("hang"):
            select.select([self.connection], [], [], 30)
            record(left=self.path)
        elif not reply.get("cut"):
            self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no news."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
