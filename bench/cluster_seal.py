"""What it costs to seal a record of the ayllu and to read it: the best of many runs, in ms."""

import tempfile
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.seal import seal, unseal

RUNS = 300
LIMIT_MS = 0.3


def best(what: Callable[[], object]) -> float:
    """The best of RUNS, in milliseconds."""
    return min(timeit.repeat(what, number=1, repeat=RUNS)) * 1000


def main() -> None:
    """Print the costs, and whether reading a record of 1 KiB keeps the limit."""
    with tempfile.TemporaryDirectory() as home, opened(Path(home)) as identity:
        member = Keyring(identity).create()
        for size in (1 << 20, 64 << 10, 1 << 10):
            envelope = seal(member, "record", bytes(size))
            sealing = best(partial(seal, member, "record", bytes(size)))
            reading = best(partial(unseal, member, "record", envelope))
            print(f"{size >> 10:5} KiB: seal {sealing:.3f} ms, unseal {reading:.3f} ms")
    verdict = "within" if reading < LIMIT_MS else "OVER"
    print(f"a record of 1 KiB is {verdict} the limit of {LIMIT_MS} ms")


if __name__ == "__main__":
    main()
