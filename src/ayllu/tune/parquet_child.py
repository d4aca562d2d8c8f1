"""A program: writes the rows of a Parquet file as JSON Lines.

It runs in the Python that has pyarrow, and imports nothing of ours. Before it fails it says
`@refused WHY`, `@missing MODULE` or `@disk`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

_ROWS = 1024


def main() -> int:
    """Read the first path of the command line and write the second; returns the exit status."""
    source, target = map(Path, sys.argv[1:])
    try:
        from pyarrow import ArrowException  # noqa: PLC0415 - its absence has a word of its own
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return _fail(f"@missing {error.name}")
    try:
        with ParquetFile(source) as file, target.open("w", encoding="utf-8") as output:
            for batch in file.iter_batches(_ROWS):
                output.writelines(f"{_line(row)}\n" for row in batch.to_pylist())
    except (ArrowException, ValueError, RecursionError) as error:
        return _fail(f"@refused {' '.join(str(error).split())[:300]}")
    except OSError as error:
        return _fail("@disk" if error.errno else f"@refused {' '.join(str(error).split())[:300]}")
    return 0


def _line(row: object) -> str:
    return json.dumps(row, ensure_ascii=False, default=str)


def _fail(line: str) -> int:
    sys.stdout.write(f"{line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
