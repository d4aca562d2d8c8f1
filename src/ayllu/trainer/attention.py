"""Attention of several examples in one row: each attends to itself, and to what is before it.

transformers asks it of every layer. A mask over the whole row would do the same at many times the
cost: it grows with the square of the row, and this with the squares of the examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "each_by_itself"

Tensor = Any


def register() -> None:
    """Let models be loaded with `attn_implementation=NAME`.

    transformers makes no masks for it, and hands on what the model is called with beyond what it
    knows, so that `lengths` arrive here.
    """
    AttentionInterface.register(NAME, attend)


def attend(  # noqa: PLR0913 - transformers calls it
    _module: Any,  # noqa: ANN401 - a layer of transformers
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    lengths: Sequence[int] = (),
    **_: object,
) -> tuple[Tensor, None]:
    """What transformers' attention functions take and return.

    `query` is (rows, heads, columns, size); keys and values may have fewer heads. With `lengths`
    the columns of the one row are so many examples; otherwise each row is one, its padding at its
    end, where nothing that counts can see it.
    """

    def one(*parts: Tensor) -> Tensor:
        window = sliding_window if sliding_window and sliding_window < parts[0].shape[2] else None
        if softcap:
            return _capped(*parts, scaling=scaling, softcap=softcap, window=window)
        mask = None if window is None else _mask_of(parts[0], window)
        return scaled_dot_product_attention(
            *parts,
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=mask is None and parts[0].shape[2] == parts[1].shape[2],
            scale=scaling,
            enable_gqa=parts[0].shape[1] != parts[1].shape[1],
        )

    if len(lengths) > 1:
        pieces = (tensor.split(list(lengths), dim=2) for tensor in (query, key, value))
        out = torch.cat([one(*parts) for parts in zip(*pieces, strict=True)], dim=2)
    else:
        out = one(query, key, value)
    return out.transpose(1, 2).contiguous(), None


def _mask_of(query: Tensor, window: int | None) -> Tensor:
    """Which columns each may look at: itself and those before it, `window` in all."""
    places = torch.arange(query.shape[2], device=query.device)
    behind = places[:, None] - places
    mask = behind >= 0
    return mask if window is None else mask & (behind < window)


def _capped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scaling: float | None,
    softcap: float,
    window: int | None,
) -> Tensor:
    """With scores that are bent towards a greatest value, as Gemma 2 has them."""
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.tanh(query @ key.transpose(2, 3) * scale / softcap) * softcap
    scores = scores.masked_fill(~_mask_of(query, window), float("-inf"))
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype) @ value
