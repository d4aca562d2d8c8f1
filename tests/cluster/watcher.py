"""A small program that reads a server's cluster events: `python watcher.py HOST:PORT`.

It waits for the server to listen. Events go to stdout as those of `member.py`.
"""

from __future__ import annotations

import http.client
import json
import sys
import time


def say(**what: object) -> None:
    print(json.dumps({"at": time.time(), **what}), flush=True)  # noqa: T201 - what it is for


def read(address: str) -> None:
    nodes: set[str] = set()
    me = ""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", "/api/cluster/events")
    answer = connection.getresponse()
    say(event="listening", status=answer.status)
    for line in answer:
        if not line.startswith(b"data: "):
            continue
        event = json.loads(line[6:])
        kind = event["type"]
        if kind == "snapshot":
            me = event["cluster"]["node"]
            nodes = {node["id"] for node in event["cluster"]["nodes"]}
            say(event="snapshot", there=len(nodes - {me}))
        elif kind == "left":
            nodes.discard(event["id"])
            say(event=kind, node=event["id"], there=len(nodes - {me}))
        elif "node" in event:
            nodes.add(event["node"]["id"])
            say(event=kind, node=event["node"]["id"], there=len(nodes - {me}))


if __name__ == "__main__":
    while True:
        try:
            read(sys.argv[1])
        except OSError:
            time.sleep(0.01)
