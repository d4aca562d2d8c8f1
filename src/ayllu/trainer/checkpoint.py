"""What going on takes, in a folder of its own: a checkpoint is there whole or not at all."""

from __future__ import annotations

import logging
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch

from ayllu.trainer.files import checkpoints, replacing
from ayllu.trainer.spec import CHECKPOINT

KEPT = 2
_STATE = "state.pt"
_log = logging.getLogger(__name__)


def write_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after a step, and remove all but the last two. Raises OSError."""
    with replacing(folder / f"{CHECKPOINT}{step}") as new:
        new.mkdir()
        write_tensors(new / _STATE, state)
    for old in checkpoints(folder)[KEPT:]:
        shutil.rmtree(old)


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint that can be read; None where there is none."""
    for path in checkpoints(folder):
        try:
            return read_tensors(path / _STATE)
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError):
            _log.exception("%s cannot be read", path.name)
    return None


def write_tensors(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and numbers. Raises OSError."""
    with path.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # how PyTorch says that writing failed
            raise OSError(str(error)) from error


def read_tensors(path: Path) -> dict[str, Any]:
    """What was written, in ordinary memory. Raises OSError and what PyTorch raises."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
