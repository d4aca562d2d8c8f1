"""A job from its files to its files: whatever happens, `ended.json` says how it ended."""

from __future__ import annotations

import errno
import logging
import math
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import torch

from ayllu.errors import AylluError, BadRequestError
from ayllu.trainer.examples import Examples, read_examples
from ayllu.trainer.files import Progress, checkpoints, read_json, replacing, write_json
from ayllu.trainer.helper import fingerprint_of
from ayllu.trainer.loop import Trainer
from ayllu.trainer.measure import measure_steps
from ayllu.trainer.network import Network, open_network, write_result
from ayllu.trainer.replay import replays
from ayllu.trainer.spec import (
    ENDED,
    EXAMPLES,
    MEASURED,
    RESULT,
    WORK,
    Ended,
    Measured,
    Report,
    Work,
)
from ayllu.trainer.team import Team

_SPARE = ".spare"
"""Some bytes that are given up to say that the disk is full."""

_log = logging.getLogger(__name__)


def train(folder: Path, cancelled: Callable[[], bool]) -> int:
    """Do a job, or go on with it; returns the exit status."""
    (folder / ENDED).unlink(missing_ok=True)
    try:
        (folder / _SPARE).write_bytes(bytes(4096))
        ended = _train(folder, cancelled)
    except Exception as error:  # noqa: BLE001 - a job ends with a sentence, whatever happened
        _log.exception("training failed")
        ended = Ended(outcome="failed", error=explain(error, folder))
    (folder / _SPARE).unlink(missing_ok=True)
    write_json(folder / ENDED, ended)
    return int(ended.outcome == "failed")


def measure(folder: Path, steps: int) -> int:
    """Do some steps for `measured.json`; returns the exit status.

    They change nothing else; the base's own texts are made here if they are not there yet, and
    training takes them over. What goes wrong is told by `ended.json`, as in training.
    """
    try:
        work = read_json(folder / WORK, Work)
        network, examples = _ready(folder, work)
        measured = measure_steps(folder, network, examples, steps, work.threads)
        write_json(folder / MEASURED, measured)
    except Exception as error:  # noqa: BLE001 - the same
        _log.exception("measuring failed")
        write_json(folder / ENDED, Ended(outcome="failed", error=explain(error, folder)))
        return 1
    return 0


def explain(error: Exception, folder: Path) -> str:
    """A sentence for the user."""
    if isinstance(error, AylluError):
        return error.sentence
    if isinstance(error, OSError) and _is_full(error, folder):
        last = next((path.name for path in checkpoints(folder)), None)
        kept = f"; {last} is whole, and training can go on from it" if last else ""
        return f"the disk is full{kept}"
    if _is_memory(error):
        return (
            "memory ran out: a smaller batch (with more accumulation), a shorter context or "
            "gradient checkpointing takes less"
        )
    first = (str(error).strip().splitlines() or ["no reason was given"])[0][:300]
    return f"training failed: {type(error).__name__}: {first} (log.txt says more)"


def _train(folder: Path, cancelled: Callable[[], bool]) -> Ended:
    work = read_json(folder / WORK, Work)
    began = time.monotonic()
    network, examples = _ready(folder, work)
    torch.set_num_threads(_threads(folder, work))
    _log.info("ready after %.1f s", time.monotonic() - began)
    with closing(_team(folder, network, examples)) as team:
        trainer = Trainer(folder, network, examples, team)
        trainer.resume()
        report = _run(trainer, Progress(folder), cancelled)
    if cancelled():
        return Ended(outcome="cancelled", steps=trainer.step, seconds=trainer.seconds)
    trainer.take_best()
    with replacing(folder / RESULT) as new:
        write_result(network, new)
    return Ended(
        outcome="done",
        steps=trainer.step,
        best_step=trainer.best.step or trainer.step,
        loss=report.loss if report else 0.0,
        validation_loss=trainer.best.loss if trainer.best.step else None,
        stopped_early=trainer.stops,
        seconds=trainer.seconds,
    )


def _run(trainer: Trainer, progress: Progress, cancelled: Callable[[], bool]) -> Report | None:
    """Do all steps that are left; the last one's report. Raises BadRequestError, OSError."""
    report = None
    for report in trainer.run(cancelled):
        if not math.isfinite(report.loss):
            raise BadRequestError(
                f"the loss is no number any more after step {report.step}: "
                "a lower learning rate may help"
            )
        progress.add(report)
    return report


def _team(folder: Path, network: Network, examples: Examples) -> Team:
    """This machine, and whoever comes to help."""
    lengths = [len(example.tokens) for example in examples.training]
    numbers = sum(weight.numel() for weight in network.trained().values())
    return Team(folder, fingerprint_of(network), numbers, lengths, network.settings.batch)


def _ready(folder: Path, work: Work) -> tuple[Network, Examples]:
    """The model and the examples. Raises BadRequestError, UnsupportedError."""
    network = open_network(work)
    examples = read_examples(
        folder / EXAMPLES,
        context=work.settings.context,
        vocabulary=network.model.config.vocab_size,
    )
    own = replays(folder, network, examples)
    return network, examples._replace(training=(*examples.training, *own))


def _threads(folder: Path, work: Work) -> int:
    """As many as were measured to be the quickest."""
    try:
        measured = read_json(folder / MEASURED, Measured)
    except (OSError, msgspec.DecodeError):
        return work.threads
    return min(work.threads, measured.threads or work.threads)


def _is_full(error: OSError, folder: Path) -> bool:
    if error.errno in {errno.ENOSPC, errno.EDQUOT} or "No space left" in str(error):
        return True
    return error.errno is None and shutil.disk_usage(folder).free < 1 << 20


def _is_memory(error: Exception) -> bool:
    words = (
        "can't allocate memory",
        "not enough memory",
        "out of memory",
        "bad_alloc",
        "start new thread",
    )
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )
