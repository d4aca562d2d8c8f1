"""Examples as the model takes them: behind one another in a row, or padded to the same length.

Behind one another nothing is computed for padding. They are kept apart by the positions, which
begin anew, and by the attention (`attention.py`), which is told their lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from ayllu.trainer.examples import Example

IGNORED = -100
"""Where a target is this, nothing is to be predicted: the ignore_index of PyTorch's losses."""

Tensor = Any


class Batch(NamedTuple):
    """What goes through the model together.

    `tokens` and `positions` are (rows, columns). Logits are wanted for the columns `kept` alone,
    and `targets` (rows, kept) says which token follows. `lengths` are those of the examples in the
    one row, none where each has a row. `counted` are the targets that there are, `size` the tokens.
    """

    tokens: Tensor
    positions: Tensor
    kept: Tensor
    targets: Tensor
    lengths: tuple[int, ...]
    counted: int
    size: int


def make_batch(examples: Sequence[Example], *, packing: bool, device: str = "cpu") -> Batch:
    """Put examples together, on the device that is to compute."""
    if packing:
        tokens, targets = _packed(examples)
        lengths = tuple(len(example.tokens) for example in examples)
        positions = np.concatenate([np.arange(length) for length in lengths])[None]
    else:
        tokens, targets = _padded(examples)
        lengths = ()
        positions = np.arange(tokens.shape[1])[None].repeat(len(tokens), axis=0)
    (kept,) = np.nonzero((targets != IGNORED).any(axis=0))
    targets = targets[:, kept]

    def on_device(array: Any) -> Tensor:  # noqa: ANN401 - NumPy's
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    return Batch(
        on_device(tokens),
        on_device(positions),
        on_device(kept),
        on_device(targets),
        lengths=lengths,
        counted=int((targets != IGNORED).sum()),
        size=sum(len(example.tokens) for example in examples),
    )


def summed_loss(model: Any, batch: Batch) -> Tensor:  # noqa: ANN401 - of a class of PyTorch's
    """The sum over all targets of a batch, in nats."""
    logits = model(
        input_ids=batch.tokens,
        position_ids=batch.positions,
        logits_to_keep=batch.kept,
        lengths=batch.lengths,
        use_cache=False,
    ).logits
    return functional.cross_entropy(
        logits.flatten(0, 1).float(),
        batch.targets.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )


def _packed(examples: Sequence[Example]) -> tuple[Any, Any]:
    tokens = np.concatenate([example.tokens for example in examples])[None]
    targets = np.concatenate([_targets(example) for example in examples])[None]
    return tokens, targets


def _padded(examples: Sequence[Example]) -> tuple[Any, Any]:
    longest = max(len(example.tokens) for example in examples)
    tokens = np.zeros((len(examples), longest), np.int64)
    targets = np.full((len(examples), longest), IGNORED, np.int64)
    for row, example in enumerate(examples):
        tokens[row, : len(example.tokens)] = example.tokens
        targets[row, : len(example.tokens)] = _targets(example)
    return tokens, targets


def _targets(example: Example) -> Any:  # noqa: ANN401 - an array
    """The token that follows each, where it counts."""
    targets = np.full(len(example.tokens), IGNORED, np.int64)
    targets[:-1] = np.where(example.trained[1:], example.tokens[1:], IGNORED)
    return targets
