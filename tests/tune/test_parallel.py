"""A fine-tuning whose steps two machines of an ayllu compute together, by the real program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from ayllu_servers import Machines, ask
from serving import Serving, wait_until
from tuning import LONG, order, shown, training, wait_for

from ayllu.trainer.spec import HELPERS
from ayllu.tune.program import CHILD

LIST = "/api/tune"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(tmp_path_factory.mktemp("two"), stack)


@pytest.fixture(scope="module")
def pair(machines: Machines, torch_python: Path) -> tuple[Serving, Serving]:
    return machines.pair("one", "other", AYLLU_TORCH_PYTHON=str(torch_python))


def helpers(server: Serving) -> list[psutil.Process]:
    """The programs that help for a server."""
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if str(CHILD) in process.cmdline() and "--assist" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def begin(server: Serving, **more: Any) -> str:
    body = order(server, data_parallel=True, node="one", accumulate=2, **more)
    answer = server.post(LIST, body)
    assert answer.status == 200, answer.body
    return str(answer.json["job"]["id"])


def test_it(pair: tuple[Serving, Serving]) -> None:
    one, other = pair
    job = begin(one, name="tuned", epochs=30, replay=0)
    wait_until(lambda: helpers(other), 60, "a helper")
    print(shown(one, job)["state"])
    wait_until(lambda: shown(one, job)["parallel"], 90, "parallel")
    (helper,) = helpers(other)
    done = wait_for(one, job, "done")
    print(done["parallel"], done["measured"])
    print((one.home / "tune" / job / "log.txt").read_text())
    wait_until(lambda: not helpers(other), 10, "end")
    raise AssertionError
