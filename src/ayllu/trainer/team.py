"""The machines that compute a training's steps together, for as long as that is the faster way.

This one always computes, and alone keeps all that lasts. The others are those of `helpers.json`, at
near ends of tunnels; one that is lost, slow or says nonsense is let go, and its part is computed
here in the same step.
"""

from __future__ import annotations

import logging
import math
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec
import numpy as np

from ayllu.trainer.examples import Example
from ayllu.trainer.files import read_json, write_json
from ayllu.trainer.frames import VERSION, Answer, Hello, Line, Numbers, Task, Welcome
from ayllu.trainer.parts import Batches, Pace, cut, divide
from ayllu.trainer.spec import HELPERS, PARALLEL, Helper, Helpers, Parallel

WORTH = 1.05
"""How many times as fast it has to be with a helper, to go on with it."""
DOUBTED = 0.95
"""At less than this the helpers are compared anew: the machines may have other things to do."""
STEPS = 4
"""So many steps are compared with as many alone; before them are `_COLD` that do not count."""
HELLO_SECONDS = 10.0
LEAST_SECONDS = 5.0
"""How long a part may take at least, and how many times what it should."""
TIMES = 5
MOST = 16
_COLD = 2
_LATEST = 16
_log = logging.getLogger(__name__)


class _Member:
    """A helper that was greeted."""

    def __init__(self, helper: Helper, line: Line, numbers: int) -> None:
        self.name = helper.name
        self.line = line
        self.gradient = np.empty(numbers, np.float32)
        self.pace: Pace | None = None
        self.tokens = 0
        self.asked: Future[Answer] | None = None

    def compute(self, task: Task, weights: Numbers, seconds: float) -> Answer:
        """Have a part computed; its gradient is there then. Raises OSError, ValueError."""
        began = time.monotonic()
        self.line.send(task, weights, seconds=seconds)
        left = max(1.0, began + seconds - time.monotonic())
        answer = self.line.receive(Answer, self.gradient, seconds=left)
        if answer.step != task.step or not math.isfinite(answer.loss):
            raise ValueError("its answer is none")
        if not np.isfinite(self.gradient).all():
            raise ValueError("its gradient has what is no number")
        self._learn(answer.seconds, time.monotonic() - began)
        return answer

    def _learn(self, computed: float, passed: float) -> None:
        """Note what it took: computing, and all the rest."""
        computed = min(max(computed, 1e-6), passed)
        now = Pace(passed - computed, computed / max(1, self.tokens))
        if self.pace is not None:
            now = Pace(*((old + new) / 2 for old, new in zip(self.pace, now, strict=True)))
        self.pace = now


class Team:
    """All of them. Whoever makes one closes it.

    `weights` stands for what is trained (`fingerprint`), which has so many `numbers`. `lengths` are
    those of all examples, of which `size` go through the model at a time.
    """

    def __init__(
        self, folder: Path, weights: str, numbers: int, lengths: Sequence[int], size: int
    ) -> None:
        self._folder = folder
        self._weights = weights
        self._numbers = numbers
        self._lengths = lengths
        self._size = size
        self._seen = 0
        self._known: set[Helper] = set()
        self._greeted: queue.SimpleQueue[_Member] = queue.SimpleQueue()
        self._waiting: list[_Member] = []
        self._members: list[_Member] = []
        self._alone: deque[float] = deque(maxlen=_LATEST)
        self._together: deque[float] = deque(maxlen=_LATEST)
        """Tokens per second of the latest steps."""
        self._cold = 1
        self._own: Pace | None = None
        self._own_tokens = 0
        self._asked_at = 0.0
        self._threads = ThreadPoolExecutor(MOST)
        self._told = Parallel()
        (folder / PARALLEL).unlink(missing_ok=True)

    def close(self) -> None:
        """Let all go: they end with their connections."""
        for member in [*self._members, *self._waiting]:
            member.line.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def divide(self, batches: Batches) -> list[Batches]:
        """A step's examples in parts: the first is this machine's, then one for each helper."""
        self._look()
        if self._waiting and len(self._alone) >= STEPS:
            self._members += self._waiting
            self._waiting = []
            self._begin_trial()
        if not self._members or self._own is None:
            return [batches]
        paces = [self._own, *(member.pace or self._own for member in self._members)]
        wanted = divide(self._tokens(batches), paces)
        parts = cut(batches, self._lengths, wanted, self._size)
        self._own_tokens = self._tokens(parts[0])
        return parts

    def ask(
        self, step: int, counted: int, parts: Sequence[list[list[Example]]], weights: Numbers
    ) -> None:
        """Have the helpers begin with their parts of a step, one each, with the weights as given.

        They are not to be changed before there are the `answers`. `counted` are all predictions.
        """
        own = self._own.per_token if self._own else 0.0
        whole = own * sum(len(one.tokens) for part in parts for batch in part for one in batch)
        for place, (member, part) in enumerate(zip(self._members, parts, strict=True), 1):
            member.tokens = sum(len(one.tokens) for batch in part for one in batch)
            member.asked = None
            if part:
                pace = member.pace
                usual = whole if pace is None else pace.fixed + pace.per_token * member.tokens
                task = Task(step=step, place=place, counted=counted, batches=part)
                seconds = LEAST_SECONDS + TIMES * usual
                member.asked = self._threads.submit(member.compute, task, weights, seconds)
        self._asked_at = time.monotonic()

    def answers(self) -> Iterator[tuple[float, Numbers] | None]:
        """What each helper's part came to, in order: its loss and its gradient.

        None for what is to be computed here.
        """
        if self._own_tokens:
            self._learn(self._own_tokens, time.monotonic() - self._asked_at)
        for member in list(self._members):
            if member.asked is None:
                yield None
                continue
            try:
                answer = member.asked.result()
            except (OSError, ValueError) as error:
                self._lose(member, str(error) or type(error).__name__)
                yield None
            else:
                yield answer.loss, member.gradient

    def note(self, tokens: int, seconds: float) -> None:
        """A step was done, of so many tokens: whether helpers are worth it may be known now."""
        if self._cold:
            self._cold -= 1
            return
        if not self._members:
            self._learn(tokens, seconds)
            self._alone.append(tokens / seconds)
            return
        self._together.append(tokens / seconds)
        if len(self._together) < STEPS:
            return
        speedup = median(self._together) / median(self._alone)
        if not self._told.machines:
            self._decide(speedup)
        elif len(self._together) == _LATEST:
            if speedup < DOUBTED:
                _log.info("with helpers %.2f times as fast: compared anew", speedup)
                self._waiting += self._members
                self._members = []
                self._alone.clear()
                self._cold = 1
                self._tell(machines=(), speedup=0.0)
            else:
                self._tell(speedup=speedup)

    # Who helps.

    def _look(self) -> None:
        """Greet those who are new in `helpers.json`; take those who were greeted."""
        while not self._greeted.empty():
            self._waiting.append(self._greeted.get())
        try:
            seen = (self._folder / HELPERS).stat().st_mtime_ns
            if seen == self._seen:
                return
            helpers = read_json(self._folder / HELPERS, Helpers).helpers
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return
        self._seen = seen
        for helper in helpers[:MOST]:
            if helper not in self._known and helper.name not in self._told.aside:
                self._known.add(helper)
                threading.Thread(target=self._greet, args=(helper,), daemon=True).start()

    def _greet(self, helper: Helper) -> None:
        """In a thread of its own: say what is trained, and hear that it may begin."""
        hello = Hello(version=VERSION, weights=self._weights, key=helper.key)
        try:
            line = greeted(helper.port, hello)
        except (OSError, ValueError) as error:
            _log.warning("%s cannot help: %s", helper.name, error)
        else:
            self._greeted.put(_Member(helper, line, self._numbers))

    def _begin_trial(self) -> None:
        self._together.clear()
        self._cold = _COLD
        self._tell(machines=(), speedup=0.0)

    def _decide(self, speedup: float) -> None:
        if speedup >= WORTH:
            names = tuple(member.name for member in self._members)
            _log.info("with %s it is %.2f times as fast", ", ".join(names), speedup)
            self._tell(machines=names, speedup=speedup)
            return
        least = min(self._members, key=lambda member: member.tokens)
        _log.info("with %s it is only %.2f times as fast: put aside", least.name, speedup)
        self._members.remove(least)
        self._tell(aside={**self._told.aside, least.name: round(speedup, 2)})
        self._begin_trial()
        least.line.close()

    def _lose(self, member: _Member, why: str) -> None:
        _log.warning("%s is lost: %s", member.name, why)
        member.line.close()
        self._members.remove(member)
        self._begin_trial()

    def _tell(self, **fields: object) -> None:
        self._told = msgspec.structs.replace(self._told, **fields)
        speedup = round(self._told.speedup, 2)
        with suppress(OSError):  # a full disk is told of when a checkpoint is written
            write_json(
                self._folder / PARALLEL, msgspec.structs.replace(self._told, speedup=speedup)
            )

    # How fast this machine is.

    def _learn(self, tokens: int, seconds: float) -> None:
        now = seconds / tokens
        self._own = Pace(0.0, now if self._own is None else (self._own.per_token + now) / 2)

    def _tokens(self, batches: Batches) -> int:
        return sum(self._lengths[example] for batch in batches for example in batch)


def greeted(port: int, hello: Hello) -> Line:
    """A connection with a helper that agreed. Raises OSError, ValueError with why it did not."""
    line = Line(socket.create_connection(("127.0.0.1", port), timeout=HELLO_SECONDS))
    try:
        line.send(hello, seconds=HELLO_SECONDS)
        refusal = line.receive(Welcome, seconds=HELLO_SECONDS).refusal
    except BaseException:
        line.close()
        raise
    if refusal:
        line.close()
        raise ValueError(refusal)
    return line
