"""What listens here (`listening`), and what places say to a stranger (`scan PLACE...`)."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time
from contextlib import suppress

import psutil

from ayllu.cluster.endpoints import split_endpoint
from ayllu.runner.rpc_hello import HELLO

QUESTIONS = (HELLO, b"GET /api/version HTTP/1.1\r\nhost: x\r\n\r\n", b"\0\0\0\1\0")
_TLS_ALERT = 0x15


def listening() -> list[dict[str, object]]:
    """The TCP ports of this machine, each with its program."""
    return [
        {
            "host": one.laddr.ip,
            "port": one.laddr.port,
            "program": psutil.Process(one.pid).name() if one.pid else "",
        }
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr
    ]


def said(place: str) -> str:
    """What a place says to somebody without a certificate, over TCP and over TLS."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    try:
        socket.create_connection(split_endpoint(place), 5).close()
    except OSError as error:
        return f"it cannot be reached: {error}"
    for question in QUESTIONS:
        for context in (None, tls):
            answer = b""
            with (
                suppress(OSError),
                socket.create_connection(split_endpoint(place), 5) as plain,
                context.wrap_socket(plain) if context else plain as stream,
            ):
                stream.settimeout(1)
                stream.sendall(question)
                answer = stream.recv(100)
            if answer and not (context is None and answer[0] == _TLS_ALERT):
                return f"{question!r} over {'TLS' if context else 'TCP'}: {answer!r}"
    return "nothing"


if __name__ == "__main__":
    found: dict[str, object] = {"at": time.time(), "said": "listening", "ports": listening()}
    if sys.argv[1] == "scan":
        answers = {place: said(place) for place in sys.argv[2:]}
        found = {"at": time.time(), "said": "scanned", "answers": answers}
    sys.stdout.write(json.dumps(found) + "\n")
