"""What a client notices when a machine is lost that has a part in its answer: the aim is nothing.

    make bench SCRIPTS=bench/survival.py [MODEL="TRIALS [KIND]"]

A model is split over servers, in network namespaces where root may make some (else on loopback,
where no cable can be cut). Greedy streams of every dialect by turns; at a random place in each
something happens to a machine. Each stream has to be whole and right, with one end; what is timed
is the longest silence of the stream after that. Machines come back between trials.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import aiohttp
from ayllu_servers import Machines
from gguf_maker import CHATML, make_successor_model, walk
from houses import LAYERS, STRIKES, House
from lan import a_lan, missing
from msgspec import Struct
from serving import Serving
from streams import DIALECTS, Told, ask

TRIALS = 50
TOKENS = 400
WANTED_SECONDS = 5.0
HEAD_LOST = "head killed"
BOTH_LOST = "two workers killed"
TEXT_EVERY = 10
"""Every so many trials it is the model that comes with the package, and a text of it."""


class Heard(Struct):
    """A stream that was read: what it told, and when bytes of it came."""

    told: Told | None
    problem: str
    times: list[float]
    size: int


class Trial(Struct):
    """What came of one; `silence` is in seconds."""

    kind: str
    dialect: str
    machine: str
    is_right: bool
    silence: float
    note: str


async def listen(
    server: Serving,
    model: str,
    dialect: str,
    at: int = -1,
    strike: Callable[[], None] = lambda: None,
) -> Heard:
    """Read a stream to its end; after so many bytes something happens."""
    heard = Heard(None, "", [], 0)
    struck = False

    def after(data: bytes, _node: str) -> None:
        nonlocal struck
        if data.endswith((b": ping\n\n", b'{"type":"ping"}\n\n')):
            return
        heard.size = len(data)
        if not struck and 0 <= at < len(data):
            struck = True
            strike()
            heard.times.clear()
        heard.times.append(time.monotonic())

    one = DIALECTS[dialect]
    body = {"model": model, **one.body(TOKENS)}
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            heard.told = await ask(session, server.url, one, body, after)
        except (AssertionError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            heard.problem = f"{type(error).__name__}: {error}"[:300]
    heard.times.append(time.monotonic())
    return heard


def hear(
    server: Serving,
    model: str,
    dialect: str,
    at: int = -1,
    strike: Callable[[], None] = lambda: None,
) -> Heard:
    """The same from outside of an event loop, on the server's own machine."""
    with server.inside():
        return asyncio.run(listen(server, model, dialect, at, strike))


class Trials:
    """Four machines: `anta` has the models and answers, `dana` has them too; `bari` and `chaka`
    have none, and `chaka` is the gateway where the machine that answers is to be lost.
    """

    def __init__(self, house: House, kinds: tuple[str, ...]) -> None:
        self._house = house
        self._kinds = kinds
        self._random = random.Random(7)  # noqa: S311 - no secret
        self._sizes: dict[tuple[str, str], int] = {}
        self._texts: dict[tuple[str, str], str] = {}

    def learn(self, model: str, dialect: str) -> None:
        """What a stream tells where nothing happens, and its size in bytes."""
        if (model, dialect) not in self._sizes:
            heard = hear(self._house.servers["dana"], model, dialect)
            assert heard.told is not None, heard.problem
            self._sizes[model, dialect] = heard.size
            self._texts[model, dialect] = heard.told.text
            assert model != "endless" or heard.told.text == walk(TOKENS)

    def run(self, number: int) -> Trial:
        """One of them."""
        kind = self._kinds[number % len(self._kinds)]
        dialect = sorted(DIALECTS)[number % len(DIALECTS)]
        model = "mini" if number % TEXT_EVERY == TEXT_EVERY - 1 else "endless"
        if model == "mini" and dialect == "openai responses":
            dialect = "openai chat"  # mini thinks, and `streams.py` reads one item
        self.learn(model, dialect)
        house = self._house
        house.deploy("anta", "bari", "chaka", model=model)
        lost = list(self._random.sample(["bari", "chaka"], 2 if kind == BOTH_LOST else 1))
        asked = house.head
        if kind == HEAD_LOST:
            lost, asked = ["anta"], house.servers["chaka"]
        is_split = dict(house.stages()).keys() >= {"anta", "bari", "chaka"}
        at = int(self._sizes[model, dialect] * self._random.uniform(0.05, 0.9))

        def strike() -> None:
            for name in lost:
                STRIKES.get(kind, House.kill)(house, name)

        try:
            heard = hear(asked, model, dialect, at, strike)
        finally:
            house.mend(*lost)
        silence = max((b - a for a, b in zip(heard.times, heard.times[1:])), default=0.0)
        whole = heard.told is not None and heard.told.ends == 1 and len(heard.told.ids) <= 1
        is_right = (
            whole and heard.told is not None and heard.told.text == self._texts[model, dialect]
        )
        note = heard.problem or ("" if is_split else "was not split")
        if whole and not is_right:
            note = f"another text: {heard.told}"
        return Trial(kind, dialect, f"{'+'.join(lost)} ({model})", is_right, silence, note)


@contextmanager
def a_house() -> Iterator[tuple[House, tuple[str, ...]]]:
    """Four machines, and what can happen to them."""
    with ExitStack() as stack:
        root = Path("/tmp/survive-run"); import shutil; shutil.rmtree(root, ignore_errors=True); root.mkdir()
        lan = None if missing() else stack.enter_context(a_lan(4))
        gguf = make_successor_model(
            root / "endless.gguf", chat_template=CHATML, context=2048, layers=LAYERS
        )
        machines = Machines(root, stack, lan)
        house = House(
            machines, gguf, "anta", "bari", "chaka", "dana", settings={"AYLLU_DEBUG": "1"}
        )
        house.servers["dana"].create("endless", gguf)
        kinds = [*STRIKES, HEAD_LOST] if lan else [kind for kind in STRIKES if "cable" not in kind]
        with suppress(KeyboardInterrupt):
            yield house, tuple(kinds)


def main() -> None:
    """Print each trial, then the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    trials: defaultdict[str, list[Trial]] = defaultdict(list)
    with a_house() as (house, kinds):
        if len(sys.argv) > 2:
            kinds = tuple(sys.argv[2].replace("_", " ").split(","))
        all_of_them = Trials(house, kinds)
        for number in range(count):
            trial = all_of_them.run(number)
            trials[trial.kind].append(trial)
            print(
                f"{number + 1:>3} {trial.kind:<16} {trial.machine:<20} {trial.dialect:<20} "
                f"{'right' if trial.is_right else 'WRONG'} {trial.silence:6.2f} s {trial.note}",
                flush=True,
            )
    print(f"\n{'what happened':<20} {'trials':>6} {'right':>6} {'median':>8} {'longest':>8}")
    for kind, found in trials.items():
        silences = [one.silence for one in found]
        print(
            f"{kind:<20} {len(found):>6} {sum(one.is_right for one in found):>6} "
            f"{statistics.median(silences):>6.2f} s {max(silences):>6.2f} s"
        )
    every = [one for found in trials.values() for one in found]
    late = sum(one.silence > WANTED_SECONDS for one in every)
    right = sum(one.is_right for one in every)
    print(f"{right} of {len(every)} whole and right, {late} resumed later than {WANTED_SECONDS} s")


if __name__ == "__main__":
    main()
