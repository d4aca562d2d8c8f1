"""Servers that fine-tune by a small program, and jobs on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from serving import Serving, serving, wait_until
from tune_trainer import write_program

from ayllu.tune import program
from ayllu.tune.job import Folder

CLUSTER = {"AYLLU_CLUSTER": "off"}
OVER = {"done", "failed", "cancelled"}
LONG = 300.0
"""Seconds: on a busy machine PyTorch alone takes many of them to start."""
ROWS = [
    {"prompt": f"What is {number} and {number}?", "completion": f"It is {2 * number}."}
    for number in range(20)
]


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@contextmanager
def tuning(home: Path, kind: str = "") -> Iterator[Serving]:
    """A server whose trainer behaves as `kind` says."""
    home.mkdir(parents=True, exist_ok=True)
    trainer = str(write_program(home))
    with serving(home, AYLLU_TORCH_PYTHON=trainer, TRAINER=kind, **CLUSTER) as server:
        yield server


def order(server: Serving, **more: Any) -> dict[str, Any]:
    data = {"rows.jsonl": server.upload(lines(ROWS))}
    return {"model": "mini", "data": data, "epochs": 2, "batch": 2, **more}


def begin(server: Serving, **more: Any) -> str:
    answer = server.post("/api/tune", order(server, **more))
    assert answer.status == 200, answer.body
    return str(answer.json["job"]["id"])


def shown(server: Serving, job: str) -> Any:
    answer = server.get(f"/api/tune/{job}")
    assert answer.status == 200, answer.body
    return answer.json


def wait_for(server: Serving, job: str, *states: str) -> Any:
    wait_until(lambda: shown(server, job)["state"] in {*states, *OVER}, LONG, f"a state {states}")
    found = shown(server, job)
    assert found["state"] in states, found
    return found


def wait_for_step(server: Serving, job: str, step: int) -> None:
    wait_until(lambda: shown(server, job)["step"] >= step, LONG, f"step {step}")


def post(server: Serving, job: str, what: str) -> Any:
    return server.post(f"/api/tune/{job}/{what}", {})


def training(server: Serving, job: str) -> psutil.Process | None:
    return program.find(Folder(server.home / "tune" / job))
