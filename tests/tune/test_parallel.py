"""A fine-tuning whose steps two machines of an ayllu compute together, by the real program."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from ayllu_servers import Machines, ask
from serving import Serving, wait_until
from tuning import LONG, order, shown, training, wait_for

from ayllu.trainer.spec import HELPERS
from ayllu.tune.helping import PATH
from ayllu.tune.program import CHILD

LIST = "/api/tune"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(tmp_path_factory.mktemp("two"), stack)


@pytest.fixture(scope="module")
def pair(machines: Machines, cold_python: Path) -> tuple[Serving, Serving]:
    return machines.pair("one", "other", AYLLU_TORCH_PYTHON=str(cold_python))


def helpers(server: Serving) -> list[psutil.Process]:
    """The programs by which a server's machine helps."""
    return server.programs(str(CHILD), "--assist")


def begin(server: Serving, **more: Any) -> str:
    body = order(server, data_parallel=True, node="one", accumulate=2, replay=0, **more)
    answer = server.post(LIST, body)
    assert answer.status == 200, answer.body
    return str(answer.json["job"]["id"])


@pytest.mark.parametrize(
    ("fields", "status", "why"),
    [
        ({"key": "short"}, 400, "key"),
        ({"room": 0}, 400, "room"),
        ({"settings": {"rank": 0}}, 400, "rank"),
        ({"room": 1 << 60}, 503, "bytes are wanted"),
        ({"model": "nobody"}, 404, "nobody"),
        ({"digest": "0" * 64}, 404, "another model has the name mini here"),
    ],
)
def test_what_cannot_be_helped_with_is_refused_with_a_sentence(
    pair: tuple[Serving, Serving], fields: dict[str, Any], status: int, why: str
) -> None:
    _, other = pair
    body: dict[str, Any] = {
        "deployment": "tune-1",
        "fence": time.time_ns(),
        "model": "mini",
        "digest": next(iter(other.get("/api/tags").json["models"]))["digest"],
        "settings": {},
        "room": 1 << 28,
        "key": "0123456789abcdef" * 2,
    }
    found, data = ask(other, other, f"POST {PATH}", msgspec.json.encode(body | fields))
    assert found == status, data
    assert why in msgspec.json.decode(data)["error"]
    own = other.post(PATH, body | fields)
    assert own.status in {400, 403}
    assert helpers(other) == []


def test_another_machine_helps_and_comes_back_after_a_restart(
    machines: Machines, pair: tuple[Serving, Serving], cold_python: Path
) -> None:
    one, other = pair
    job = begin(one, name="long", steps=2000, epochs=2000)
    wait_until(lambda: helpers(other), LONG, "a helper")
    (helper,) = helpers(other)
    wait_until(lambda: helper.net_connections("tcp"), LONG, "its port")
    assert {place.laddr.ip for place in helper.net_connections("tcp")} == {"127.0.0.1"}
    wait_until(lambda: shown(one, job)["parallel"], LONG, "a step together")
    one.stop()
    wait_until(lambda: not helpers(other), 10, "the helper's end")
    program = training(one, job)
    assert program is not None
    log = one.home / "tune" / job / "log.txt"
    wait_until(lambda: "other is lost" in log.read_text() or "aside" in log.read_text(), 60)
    one = machines.start("one", AYLLU_TORCH_PYTHON=str(cold_python))
    step = shown(one, job)["step"]
    if "aside" not in log.read_text():
        wait_until(lambda: helpers(other), LONG, "the helper again")
    wait_until(lambda: shown(one, job)["step"] > step, LONG, "a step")
    assert program.is_running()
    assert one.post(f"{LIST}/{job}/cancel", {}).json["state"] == "cancelled"
    wait_until(lambda: not helpers(other), 10, "the helper's end")
    assert not (one.home / "tune" / job / HELPERS).exists()
    ran = one.ayllu("tune", "show", job)
    assert "state            cancelled" in ran.stdout
    done = wait_for(one, begin(one, name="short", steps=5), "done")
    assert done["step"] == 5
    wait_until(lambda: not helpers(other), 10, "the helper's end")
