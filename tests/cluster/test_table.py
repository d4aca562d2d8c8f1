from __future__ import annotations

from own_records import a_record

from ayllu.cluster.record import Load, Pulse, Record
from ayllu.cluster.seal import Sealed
from ayllu.cluster.table import CLONED, Change, Table

NODE = "a" * 20
OTHER = "b" * 20


class Seen:
    """A table, what it told, and a clock."""

    def __init__(self) -> None:
        self.told: list[Change] = []
        self.table = Table(self.told.append)
        self.now = 100.0

    def hear(self, record: Record, said: float | None = None, *, answered: bool = False) -> str:
        sealed = Sealed(record.node, self.now if said is None else said, b"")
        return self.table.hear(sealed, record, self.now, answered=answered)

    def come(self, node: str = NODE, **fields: object) -> None:
        self.table.appear(node, self.now)
        self.hear(a_record(node, **fields))

    def kinds(self) -> list[str]:
        kinds: list[str] = [change.kind for change in self.told]
        self.told.clear()
        return kinds

    def states(self) -> list[str]:
        return [member.state for member in self.table.members()]

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.table.tick(self.now)


def test_a_machine_joins_with_its_token_and_its_record() -> None:
    seen = Seen()
    seen.table.appear(NODE, seen.now)
    assert seen.table.members() == ()
    assert seen.table.unknown() == (NODE,)
    seen.hear(a_record(NODE))
    assert seen.kinds() == ["joined"]
    assert seen.table.unknown() == ()


def test_a_record_without_a_token_makes_no_member() -> None:
    seen = Seen()
    seen.hear(a_record(NODE))
    assert seen.table.members() == ()
    seen.wait(60)
    seen.table.appear(NODE, seen.now)
    assert seen.table.members() == ()


def test_one_whose_token_was_lost_is_there_while_it_answers_and_speaks() -> None:
    seen = Seen()
    seen.come()
    seen.table.vanish(NODE, seen.now)
    seen.hear(a_record(NODE, counter=1))
    assert seen.table.members() == ()
    seen.wait(0.1)
    seen.hear(a_record(NODE, counter=1), answered=True)
    for _ in range(5):
        assert seen.states() == ["online"]
        seen.wait(5)
        seen.hear(a_record(NODE, counter=1))
    seen.wait(15.5)
    assert seen.table.members() == ()
    seen.hear(a_record(NODE, counter=1), 100.0, answered=True)
    assert seen.table.members() == ()


def test_it_leaves_at_once_with_its_token() -> None:
    seen = Seen()
    seen.come()
    seen.table.vanish(NODE, seen.now)
    assert seen.kinds() == ["joined", "left"]
    assert seen.table.members() == ()


def test_one_that_returns_has_three_seconds() -> None:
    seen = Seen()
    seen.come(returns=True)
    seen.table.vanish(NODE, seen.now)
    seen.wait(2.9)
    assert seen.states() == ["returning"]
    seen.come(counter=1)
    seen.wait(10)
    assert seen.states() == ["online"]
    assert seen.kinds() == ["joined", "changed"]
    seen.hear(a_record(NODE, counter=2, returns=True))
    seen.table.vanish(NODE, seen.now)
    seen.wait(3.1)
    assert seen.kinds() == ["changed", "left"]


def test_one_that_is_alive_and_says_nothing_is_gone_until_it_speaks() -> None:
    seen = Seen()
    seen.come()
    seen.wait(15.5)
    assert seen.kinds() == ["joined", "left"]
    seen.hear(a_record(NODE))
    assert seen.kinds() == ["joined"]


def test_one_that_is_alive_and_quiet_is_to_be_asked() -> None:
    seen = Seen()
    seen.come()
    seen.table.appear(OTHER, seen.now)
    seen.wait(8)
    assert seen.table.quiet(seen.now) == ()
    seen.wait(1)
    assert seen.table.quiet(seen.now) == (NODE,)
    seen.hear(a_record(NODE))
    assert seen.table.quiet(seen.now) == ()
    seen.table.vanish(NODE, seen.now)
    seen.wait(60)
    assert seen.table.quiet(seen.now) == ()


def test_the_newer_record_wins_and_a_repeated_one_is_no_sign_of_life() -> None:
    seen = Seen()
    seen.come(counter=5)
    assert seen.hear(a_record(NODE, counter=4)) != ""
    assert seen.hear(a_record(NODE, counter=5, name="again"), seen.now - 1) != ""
    assert seen.hear(a_record(NODE, epoch=2, name="new life")) == ""
    assert [member.record.name for member in seen.table.members()] == ["new life"]
    said = seen.now
    seen.wait(10)
    seen.hear(a_record(NODE, epoch=2, name="new life"), said)
    seen.wait(10)
    assert seen.table.members() == ()


def test_a_machine_that_is_set_aside_is_shown_as_such_for_good() -> None:
    seen = Seen()
    seen.come()
    seen.table.set_aside(NODE, "it lies", seen.now)
    assert seen.kinds() == ["joined", "set_aside"]
    seen.hear(a_record(NODE, epoch=2))
    seen.table.vanish(NODE, seen.now)
    seen.come(epoch=3)
    assert [(one.state, one.reason) for one in seen.table.members()] == [("set_aside", "it lies")]


def test_two_lives_of_one_machine_at_once_are_a_copy_and_are_set_aside_while_both_last() -> None:
    seen = Seen()
    seen.come(epoch=2)
    for _ in range(2):
        seen.wait(5)
        seen.hear(a_record(NODE, epoch=1))
        seen.wait(1)
        seen.hear(a_record(NODE, epoch=2))
    assert [(one.state, one.reason) for one in seen.table.members()] == [("set_aside", CLONED)]
    for _ in range(10):
        seen.wait(7)
        seen.hear(a_record(NODE, epoch=2))
    assert seen.states() == ["online"]


def test_an_old_life_that_is_repeated_by_somebody_is_no_copy() -> None:
    seen = Seen()
    old = a_record(NODE, epoch=1)
    seen.come(epoch=2)
    for _ in range(5):
        seen.hear(old, 50.0)
    assert seen.states() == ["online"]


def test_while_our_bus_is_closed_nobody_leaves_and_then_all_have_a_moment() -> None:
    seen = Seen()
    seen.come()
    seen.come(OTHER)
    seen.table.lose_sight()
    seen.wait(30)
    assert seen.states() == ["online", "online"]
    seen.table.look_again(seen.now)
    seen.come(OTHER, counter=1)
    seen.wait(3.1)
    assert [member.record.node for member in seen.table.members()] == [OTHER]


def test_one_that_was_gone_before_our_bus_closed_does_not_come_back_with_it() -> None:
    seen = Seen()
    seen.come()
    seen.table.vanish(NODE, seen.now)
    seen.table.lose_sight()
    seen.wait(1)
    seen.table.look_again(seen.now)
    seen.wait(1)
    assert seen.kinds() == ["joined", "left"]


def test_what_is_revoked_is_forgotten() -> None:
    seen = Seen()
    seen.come()
    seen.table.remove(NODE, seen.now)
    assert seen.kinds() == ["joined", "left"]


def test_a_pulse_brings_the_load_up_to_date() -> None:
    seen = Seen()
    seen.come(epoch=3, counter=5)
    seen.wait(10)
    busy = Load(ram_free=7, disk_free=8, running=2)
    pulse = Sealed(NODE, seen.now, b"")
    assert seen.table.feel(pulse, Pulse(3, 9, 5, busy), seen.now) == ""
    seen.wait(10)  # the record alone would be too old by now
    [member] = seen.table.members()
    assert (member.record.load, member.record.counter) == (busy, 9)
    assert seen.table.feel(pulse, Pulse(3, 9, 5, busy), seen.now)  # it is repeated


def test_a_pulse_of_a_record_that_was_missed_asks_for_it() -> None:
    seen = Seen()
    idle = Load(ram_free=1, disk_free=1)
    sealed = Sealed(NODE, seen.now, b"")
    assert seen.table.feel(sealed, Pulse(3, 9, 5, idle), seen.now) is None
    seen.come(epoch=3, counter=5)
    assert seen.table.feel(sealed, Pulse(3, 9, 8, idle), seen.now) is None
    assert seen.table.feel(sealed, Pulse(4, 1, 0, idle), seen.now) is None
    assert seen.table.members()[0].record.counter == 5


def test_an_older_pulse_changes_nothing() -> None:
    seen = Seen()
    seen.come(epoch=3, counter=5)
    sealed = Sealed(NODE, seen.now + 1, b"")
    assert seen.table.feel(sealed, Pulse(3, 4, 2, Load(1, 1)), seen.now)
    assert seen.table.members()[0].record.counter == 5
