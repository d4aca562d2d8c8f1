"""A model on three machines, of which one loses its cable: servers in network namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from ayllu_servers import Machines
from gguf_maker import make_successor_model
from houses import House, check, told
from lan import a_lan, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "it is there")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    gguf = make_successor_model(folder / "endless.gguf", context=2048, layers=6)
    with ExitStack() as stack:
        machines = Machines(folder, stack, stack.enter_context(a_lan(3)))
        yield House(machines, gguf, {"anta": {}, "bari": {}, "chaka": {}})


def test_an_answer_outlives_a_cable_that_is_cut(house: House) -> None:
    house.deploy("anta", "bari", "chaka")
    try:
        check(told(house.head, 60, lambda: house.cut("bari")))
        assert "bari" not in dict(house.stages())
    finally:
        house.mend("bari")
    house.deploy("anta", "bari", "chaka")
    assert house.stages() == [("anta", 2), ("bari", 2), ("chaka", 2)]


def test_two_machines_that_are_lost_at_once_are_not_missed(house: House) -> None:
    def strike() -> None:
        house.kill_worker("bari")
        house.cut("chaka")

    house.deploy("anta", "bari", "chaka")
    try:
        check(told(house.head, 200, strike))
    finally:
        house.mend("chaka")
