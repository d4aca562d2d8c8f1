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

_LEAST = 1e-6
"""A share that is told from none: what is taken from 1 in 32 bits is no better."""

Tensor = Any


class Own(NamedTuple):
    """What the base says where a batch has texts of its own: `tokens` and `logs` are (places, K).

    `places` count through the rows and kept columns. The rest is as `Shares` have it.
    """

    places: Tensor
    tokens: Tensor
    logs: Tensor


class Batch(NamedTuple):
    """What goes through the model together.

    `tokens` and `positions` are (rows, columns). Logits are wanted for the columns `kept` alone,
    and `targets` (rows, kept) says which token follows. `lengths` are those of the examples in the
    one row, none where each has a row. `counted` are the predictions that count, `size` the tokens.
    """

    tokens: Tensor
    positions: Tensor
    kept: Tensor
    targets: Tensor
    own: Own | None
    lengths: tuple[int, ...]
    counted: int
    size: int


def make_batch(examples: Sequence[Example], *, packing: bool, device: str = "cpu") -> Batch:
    """Put examples together, on the device that is to compute."""
    if packing:
        tokens, targets, own = (
            np.concatenate(parts)[None] for parts in zip(*map(_columns, examples), strict=True)
        )
        lengths = tuple(len(example.tokens) for example in examples)
        positions = np.concatenate([np.arange(length) for length in lengths])[None]
    else:
        tokens, targets, own = _padded(examples)
        lengths = ()
        positions = np.arange(tokens.shape[1])[None].repeat(len(tokens), axis=0)
    counts = own | (targets != IGNORED)
    (kept,) = np.nonzero(counts.any(axis=0))

    def on_device(array: Any) -> Tensor:  # noqa: ANN401 - NumPy's
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    shares = [example.shares for example in examples if example.shares]
    return Batch(
        on_device(tokens),
        on_device(positions),
        on_device(kept),
        on_device(targets[:, kept]),
        own=Own(
            on_device(np.flatnonzero(own[:, kept])),
            on_device(np.concatenate([one.tokens[:-1] for one in shares]).astype(np.int64)),
            on_device(np.concatenate([one.logs[:-1] for one in shares])),
        )
        if shares
        else None,
        lengths=lengths,
        counted=int(counts.sum()),
        size=sum(len(example.tokens) for example in examples),
    )


def summed_loss(model: Any, batch: Batch) -> Tensor:  # noqa: ANN401 - of a class of PyTorch's
    """The sum over all predictions of a batch that count, in nats.

    It is the cross-entropy of the user's, and the divergence from the base in the base's own.
    """
    logits = model(
        input_ids=batch.tokens,
        position_ids=batch.positions,
        logits_to_keep=batch.kept,
        lengths=batch.lengths,
        use_cache=False,
    ).logits
    logs = torch.log_softmax(logits.flatten(0, 1).float(), dim=-1)
    loss = functional.nll_loss(logs, batch.targets.flatten(), ignore_index=IGNORED, reduction="sum")
    if batch.own is None:
        return loss
    return loss + divergence(logs[batch.own.places[:, None], batch.own.tokens], batch.own.logs)


def divergence(logs: Tensor, base: Tensor) -> Tensor:
    """The summed Kullback-Leibler divergence from the base, in nats, of shares' logarithms.

    Both are (places, K), of the same tokens. All others together are as one more token, so that
    nothing is to be gained among them: with all tokens given it is the divergence itself, with
    fewer at most that.
    """
    shares = base.exp()
    rest, left = (1 - shares.sum(dim=-1)).clamp(min=0), 1 - logs.exp().sum(dim=-1)
    others = rest * (rest.clamp(min=_LEAST).log() - left.clamp(min=_LEAST).log())
    return (shares * (base - logs)).sum() + others.sum()


def _padded(examples: Sequence[Example]) -> tuple[Any, Any, Any]:
    shape = len(examples), max(len(example.tokens) for example in examples)
    both = np.zeros(shape, np.int64), np.full(shape, IGNORED, np.int64), np.zeros(shape, np.bool_)
    for row, example in enumerate(examples):
        for whole, part in zip(both, _columns(example), strict=True):
            whole[row, : len(part)] = part
    return both


def _columns(example: Example) -> tuple[Any, Any, Any]:
    """Its tokens, the token that follows each where it counts, and where the base tells of that."""
    length = len(example.tokens)
    targets, own = np.full(length, IGNORED, np.int64), np.zeros(length, np.bool_)
    if example.shares:
        own[:-1] = True
    else:
        targets[:-1] = np.where(example.trained[1:], example.tokens[1:], IGNORED)
    return example.tokens, targets, own
