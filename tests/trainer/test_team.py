"""Who computes a training's steps, with helpers that are right, slow, silent, or say nonsense.

The helpers are threads that speak in the real frames; what they compute is a sum.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import wait_until

from ayllu.trainer import team
from ayllu.trainer.examples import Example, Shares
from ayllu.trainer.files import write_json
from ayllu.trainer.frames import VERSION, Answer, Hello, Line, Task, Welcome, fingerprint
from ayllu.trainer.spec import HELPERS, PARALLEL, Helper, Helpers, Parallel
from ayllu.trainer.team import STEPS, Team

WEIGHTS = fingerprint([("one", (2, 3)), ("two", (4,))])
NUMBERS = 10
KEY = "k" * 32
LENGTHS = [10 + place % 7 for place in range(16)]
EXAMPLES = [Example(np.arange(length), np.ones(length, np.bool_)) for length in LENGTHS]
BATCHES = [list(range(start, start + 4)) for start in range(0, 16, 4)]
PER_TOKEN = 1e-3
"""Seconds: a step alone takes a fifth of one, beside which delays of a busy machine are short."""
Serve = Callable[[Line], None]


class Others:
    """Helpers of a test, in threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listeners: list[socket.socket] = []
        self.known: list[Helper] = []

    def add(self, name: str, serve: Serve) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.listeners.append(listener)
        threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()
        self.known.append(Helper(name, listener.getsockname()[1], KEY + name))
        write_json(self.folder / HELPERS, Helpers(tuple(self.known)))

    @staticmethod
    def _accept(listener: socket.socket, serve: Serve) -> None:
        try:
            connection, _ = listener.accept()
            with closing(Line(connection)) as line:
                serve(line)
        except (OSError, ValueError):
            return


@pytest.fixture
def others(tmp_path: Path) -> Iterator[Others]:
    found = Others(tmp_path)
    yield found
    for listener in found.listeners:
        listener.close()


def computed(examples: list[list[Example]], weights: Any) -> tuple[float, Any]:
    """What a part of a step comes to in these tests: its tokens, times the weights."""
    tokens = sum(len(one.tokens) for batch in examples for one in batch)
    return float(tokens), weights * tokens


def greet(line: Line) -> Hello:
    hello = line.receive(Hello, seconds=5)
    line.send(Welcome(), seconds=5)
    return hello


def working(seconds: float, gradient: Callable[[Any], Any] = lambda one: one) -> Serve:
    """A helper that takes so long for each token, and its way as long for a step."""

    def serve(line: Line) -> None:
        greet(line)
        weights = np.empty(NUMBERS, np.float32)
        while True:
            task = line.receive(Task, weights, seconds=None)
            loss, found = computed(task.batches, weights)
            time.sleep(seconds * loss)
            answer = Answer(step=task.step, loss=loss / task.counted, seconds=seconds * loss)
            line.send(answer, gradient((found / task.counted).astype(np.float32)), seconds=5)

    return serve


def train(one: Team, first: int, last: int) -> list[int]:
    """Do some steps, of which each has to come to the same; in how many parts each was done."""
    counts = []
    weights = np.arange(NUMBERS, dtype=np.float32)
    for step in range(first, last):
        began = time.monotonic()
        parts = one.divide(BATCHES)
        chosen = [[[EXAMPLES[place] for place in batch] for batch in part] for part in parts]
        total = sum(LENGTHS)
        if len(parts) > 1:
            one.ask(step, total, chosen[1:], weights)
        tokens, gradient = computed(chosen[0], weights)
        time.sleep(PER_TOKEN * tokens)
        loss, gradient = tokens / total, gradient / total
        answered = 1
        if len(parts) > 1:
            for part, answer in zip(chosen[1:], one.answers(), strict=True):
                answered += answer is not None
                more = answer or [value / total for value in computed(part, weights)]
                loss, gradient = loss + more[0], gradient + more[1]
        assert loss == pytest.approx(1)
        assert gradient == pytest.approx(weights, rel=1e-5)
        one.note(total, time.monotonic() - began)
        counts.append(answered)
    return counts


def new_team(folder: Path) -> Team:
    return Team(folder, WEIGHTS, NUMBERS, LENGTHS, 4)


def told(folder: Path) -> Parallel:
    return msgspec.json.decode((folder / PARALLEL).read_bytes(), type=Parallel)


def joined(one: Team, step: int, count: int = 1) -> int:
    """Train until so many helpers compute as well; the next step."""
    until = time.monotonic() + 20
    while train(one, step, step + 1)[-1] <= count:
        assert time.monotonic() < until, "nobody helps"
        step += 1
    return step + 1


def test_helpers_that_are_worth_it_stay(tmp_path: Path, others: Others) -> None:
    with closing(new_team(tmp_path)) as one:
        assert train(one, 0, STEPS + 1) == [1] * (STEPS + 1)
        assert not (tmp_path / PARALLEL).exists()
        others.add("left", working(PER_TOKEN))
        others.add("right", working(PER_TOKEN))
        step = joined(one, STEPS + 1, 2)
        assert set(train(one, step, step + 12)) == {3}
        assert set(told(tmp_path).machines) == {"left", "right"}
        assert 1.2 < told(tmp_path).speedup < 3.5
        assert told(tmp_path).aside == {}


def test_one_that_makes_it_slower_is_put_aside_and_not_asked_again(
    tmp_path: Path, others: Others
) -> None:
    def slow_way(gradient: Any) -> Any:
        time.sleep(1.0)
        return gradient

    with closing(new_team(tmp_path)) as one:
        others.add("far", working(PER_TOKEN, slow_way))
        step = joined(one, 0)
        train(one, step, step + 10)
        assert told(tmp_path).machines == ()
        assert told(tmp_path).aside["far"] < team.WORTH
        others.add("far", working(PER_TOKEN))
        assert set(train(one, step + 10, step + 20)) == {1}


def answering(answer: Callable[[Line, Task, Any], None]) -> Serve:
    """A helper that is right until it has helped twice."""

    def serve(line: Line) -> None:
        greet(line)
        weights = np.empty(NUMBERS, np.float32)
        for count in range(3):
            task = line.receive(Task, weights, seconds=None)
            loss, found = computed(task.batches, weights)
            good = Answer(step=task.step, loss=loss / task.counted, seconds=1e-3)
            if count < 2:
                line.send(good, (found / task.counted).astype(np.float32), seconds=5)
            else:
                answer(line, task, found)
        threading.Event().wait(30)

    return serve


def bad_frame(line: Line, _task: Task, _found: Any) -> None:
    line._connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(1000))


def no_numbers(line: Line, task: Task, found: Any) -> None:
    line.send(Answer(step=task.step, loss=1.0, seconds=1.0), found * math.nan, seconds=5)


def other_step(line: Line, task: Task, found: Any) -> None:
    line.send(Answer(step=task.step + 1, loss=1.0, seconds=1.0), found, seconds=5)


def cut_short(line: Line, task: Task, found: Any) -> None:
    line.send(Answer(step=task.step, loss=1.0, seconds=1.0), found[:3], seconds=5)


def closing_line(line: Line, _task: Task, _found: Any) -> None:
    line.close()


def silence(_line: Line, _task: Task, _found: Any) -> None:
    return


@pytest.mark.parametrize(
    "answer", [bad_frame, no_numbers, other_step, cut_short, closing_line, silence]
)
def test_one_that_fails_costs_nothing_but_its_time(
    tmp_path: Path, others: Others, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(new_team(tmp_path)) as one:
        others.add("bad", answering(answer))
        step = joined(one, 0)
        assert train(one, step, step + 4) == [2, 1, 1, 1]
        assert "bad is lost: " in caplog.text
        others.add("good", working(1e-4))
        joined(one, step + 4)


def refusing(line: Line) -> None:
    hello = line.receive(Hello, seconds=5)
    assert (hello.version, hello.weights, hello.key) == (VERSION, WEIGHTS, KEY + "refusing")
    line.send(Welcome("it would train other weights"), seconds=5)


def shouting(line: Line) -> None:
    line._connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n" * 100)


@pytest.mark.parametrize(
    ("serve", "why"),
    [(refusing, "it would train other weights"), (shouting, "no word"), (Line.close, "")],
)
def test_who_does_not_greet_as_it_should_never_computes(
    tmp_path: Path, others: Others, serve: Serve, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(new_team(tmp_path)) as one:
        others.add(serve.__name__, serve)
        train(one, 0, STEPS + 1)
        wait_until(lambda: "cannot help" in caplog.text)
        assert why in caplog.text
        assert train(one, STEPS + 1, STEPS + 3) == [1, 1]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"helpers": [{"name": 1}]}', b"\xff\xfe"])
def test_a_list_that_is_none_is_passed_over(tmp_path: Path, text: bytes) -> None:
    with closing(new_team(tmp_path)) as one:
        (tmp_path / HELPERS).write_bytes(text)
        assert train(one, 0, 2) == [1, 1]


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


@given(st.binary(max_size=200), st.integers(0, 1 << 34), st.integers(0, 1 << 66))
def test_no_bytes_make_a_line_take_what_was_not_said(data: bytes, size: int, extra: int) -> None:
    head = b"AYTR" + (size % (1 << 32)).to_bytes(4, "big") + (extra % (1 << 64)).to_bytes(8, "big")
    for sent in (data, head + data):
        ours, theirs = connected()
        with closing(theirs), closing(Line(ours)) as line:
            theirs.sendall(sent)
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises((OSError, ValueError)):
                line.receive(Task, np.empty(NUMBERS, np.float32), seconds=1)


def test_a_task_arrives_as_it_was_sent() -> None:
    ours, theirs = connected()
    weights = np.arange(NUMBERS, dtype=np.float32)
    told = Shares(np.array([[1, 2]], np.int32), np.array([[-0.5, -1.5]], np.float32))
    own = EXAMPLES[2]._replace(shares=told)
    task = Task(step=3, place=1, counted=7, batches=[EXAMPLES[:2], [own]])
    with closing(Line(ours)) as one, closing(Line(theirs)) as other:
        one.send(task, weights, seconds=1)
        got = np.empty(NUMBERS, np.float32)
        found = other.receive(Task, got, seconds=1)
    assert got.tolist() == weights.tolist()
    assert [[example.tokens.tolist() for example in batch] for batch in found.batches] == [
        [example.tokens.tolist() for example in batch] for batch in task.batches
    ]
    assert [example.shares for example in found.batches[0]] == [None, None]
    (arrived,) = (example.shares for example in found.batches[1])
    assert [part.tolist() for part in arrived or ()] == [part.tolist() for part in told]
    assert (found.step, found.place, found.counted) == (3, 1, 7)
