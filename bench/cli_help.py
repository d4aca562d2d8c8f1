"""How long `ayllu --help` takes: the median of 20 runs, in milliseconds of wall time."""

import statistics
import subprocess
import sys
import time

RUNS = 20
LIMIT_MS = 150


def measure() -> float:
    """One run, in milliseconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ayllu", "--help"], stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Print the median and whether it keeps the limit."""
    measure()  # fills the byte-code cache
    times = [measure() for _ in range(RUNS)]
    median = statistics.median(times)
    verdict = "within" if median < LIMIT_MS else "OVER"
    print(f"ayllu --help: {median:.0f} ms (median of {RUNS}, best {min(times):.0f} ms), ", end="")
    print(f"{verdict} the limit of {LIMIT_MS} ms")


if __name__ == "__main__":
    main()
