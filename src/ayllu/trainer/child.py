"""A program: trains what a job's folder says, `child.py FOLDER [--measure STEPS | --assist]`.

It runs in a Python that has PyTorch. The server may end meanwhile: all that both say to each other
is in the folder (`spec.py`). SIGTERM ends it after the step that it is at, with a checkpoint.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of glibc's malloc.h."""


def main() -> int:
    """Do what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--measure", type=int, nargs="?", const=4, default=0, metavar="STEPS")
    parser.add_argument("--assist", action="store_true")
    arguments = parser.parse_args()
    cancelled = threading.Event()
    if not arguments.assist:  # help keeps nothing: a signal may end it anywhere
        signal.signal(signal.SIGTERM, lambda *_: cancelled.set())
    _prepare()
    from ayllu.trainer.helper import assist
    from ayllu.trainer.job import measure, train

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    if arguments.assist:
        return assist(arguments.folder)
    if arguments.measure:
        return measure(arguments.folder, arguments.measure)
    return train(arguments.folder, cancelled.is_set)


def _prepare() -> None:
    """Make our package importable, and nothing beside it; tell the libraries how to behave."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        # A thread that waits lets others run.
        "OMP_WAIT_POLICY": "PASSIVE",
        # Every batch has a shape of its own, and oneDNN would keep a thousand: gigabytes.
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    }
    if sys.platform == "linux":
        # Large tensors go back to the system when they are let go of. Left to itself glibc keeps
        # them, in pieces: a quarter more memory, and how much it is depends on chance.
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 20)
    warnings.simplefilter("ignore", FutureWarning)  # what libraries say to each other
    folder = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "ayllu", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec  # noqa: S101 - the file is there
    assert spec.loader  # noqa: S101 - and it is Python's
    module = importlib.util.module_from_spec(spec)
    sys.modules["ayllu"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    sys.exit(main())
