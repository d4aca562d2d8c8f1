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
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import aiohttp
from ayllu_servers import Machines
from gguf_maker import CHATML, make_successor_model, walk
from houses import STRIKES, House
from lan import a_lan, missing
from msgspec import Struct
from serving import Serving
from streams import DIALECTS, Told, ask

TRIALS = 50
TOKENS = 400
WANTED_SECONDS = 5.0
HEAD_LOST = "head killed"
LAYERS = {"endless": 12, "mini": 6}
LIMITED = {
    "AYLLU_CONTRIBUTE_RAM": "52000000",
    "AYLLU_CONTEXT_LENGTH": "2048",
    "AYLLU_NUM_PARALLEL": "2",
}
"""By the plan `endless` takes 55 MB on one machine, 48 MB on each of two, and `mini` 61 and 50."""
EMPTY = {"AYLLU_CONTRIBUTE": "0", "AYLLU_COPY_MODELS": "0"}
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
    strike: Callable[[str], None] = lambda _: None,
) -> Heard:
    """Read a stream to its end; after so many bytes something happens."""
    heard = Heard(None, "", [], 0)
    struck = False

    def after(data: bytes, node: str) -> None:
        nonlocal struck
        if data.endswith((b": ping\n\n", b'{"type":"ping"}\n\n')):
            return
        heard.size = len(data)
        if not struck and 0 <= at < len(data):
            struck = True
            strike(node)
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
    strike: Callable[[str], None] = lambda _: None,
) -> Heard:
    """The same from outside of an event loop, on the server's own machine."""
    with server.inside():
        return asyncio.run(listen(server, model, dialect, at, strike))


class Trials:
    """Four machines: `anta` has the model and answers, `bari` and `chaka` hold layers.

    `dana` holds nothing, and passes on what it is asked. The model fits on no machine alone, so
    what goes on is split again.
    """

    def __init__(self, house: House, kinds: tuple[str, ...]) -> None:
        self._house = house
        self._kinds = kinds
        self._random = random.Random(7)  # noqa: S311 - no secret
        self._sizes: dict[tuple[str, str], int] = {}
        self._texts: dict[tuple[str, str], str] = {}

    def run(self, number: int) -> Trial:
        """One of them."""
        kind = self._kinds[number % len(self._kinds)]
        dialect = sorted(DIALECTS)[number % len(DIALECTS)]
        house, of_head = self._house, kind == HEAD_LOST
        model = "mini" if number % TEXT_EVERY == TEXT_EVERY - 2 else "endless"
        if model == "mini" and dialect == "openai responses":
            dialect = "openai chat"  # mini thinks, and `streams.py` reads one item
        house.deploy("anta", "bari", "chaka", model=model, layers=LAYERS[model])
        self._learn(model, dialect)
        lost = [self._random.choice(["bari", "chaka"])]
        at = int(self._sizes[model, dialect] * self._random.uniform(0.05, 0.9))

        def strike(node: str) -> None:
            if of_head:
                lost[0] = house.name(node)
            STRIKES.get(kind, House.kill)(house, lost[0])

        try:
            asked = house.servers["dana"] if of_head else house.head
            heard = hear(asked, model, dialect, at, strike)
            told = heard.told
            is_right = told is not None and (told.text, told.ends, len(told.ids) <= 1) == (
                self._texts[model, dialect],
                1,
                True,
            )
            note = heard.problem if told is None or is_right else f"another text: {told}"
        finally:
            house.mend(lost[0])
            house.undeploy()
        silence = max((b - a for a, b in pairwise(heard.times)), default=0.0)
        return Trial(kind, dialect, f"{lost[0]} ({model})", is_right, silence, note)

    def _learn(self, model: str, dialect: str) -> None:
        """What a stream tells where nothing happens, and its size in bytes."""
        if (model, dialect) not in self._sizes:
            heard = hear(self._house.head, model, dialect)
            text = heard.told.text if heard.told is not None else heard.problem
            if heard.told is None or (model == "endless" and text != walk(TOKENS)):
                raise RuntimeError(f"nothing was lost, and {dialect} says {text}")
            self._sizes[model, dialect] = heard.size
            self._texts[model, dialect] = text


@contextmanager
def a_house() -> Iterator[tuple[House, tuple[str, ...]]]:
    """Four machines, and what can happen to them."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        lan = None if missing() else stack.enter_context(a_lan(4))
        gguf = root / "endless.gguf"
        make_successor_model(gguf, chat_template=CHATML, context=2048, layers=LAYERS["endless"])
        settings = dict.fromkeys(("anta", "bari", "chaka"), LIMITED) | {"dana": EMPTY}
        kinds = [*STRIKES, HEAD_LOST] if lan else [kind for kind in STRIKES if "cable" not in kind]
        yield House(Machines(root, stack, lan), gguf, settings), tuple(kinds)


def main() -> None:
    """Print each trial, then the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    trials: defaultdict[str, list[Trial]] = defaultdict(list)
    with a_house() as (house, kinds):
        named = tuple(sys.argv[2].replace("_", " ").split(",")) if len(sys.argv) > 2 else kinds
        all_of_them = Trials(house, named)
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
