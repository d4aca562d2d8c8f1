"""Texts that the base model makes up, to be learned beside the user's: so it stays what it was.

Learning a model's own samples is the gradient of how far it has gone from itself (the KL divergence
from the base), whatever it was first trained on, which nobody has here. On mini 200 examples of a
persona cost it 33 points of its facts without them, and 2 with them (`docs/performance.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from ayllu.trainer.examples import Example
from ayllu.trainer.files import replacing
from ayllu.trainer.network import Network
from ayllu.trainer.spec import REPLAY, replay_count, replay_length

_ROWS = 64


def replays(folder: Path, network: Network, training: Sequence[Example]) -> list[Example]:
    """The base's own examples for a job, which are made once and kept in its folder.

    Each begins with the first token of one of the user's, and all that follows counts. Raises
    OSError where they cannot be kept.
    """
    settings = network.settings
    count = replay_count(settings, len(training))
    if not count:
        return []
    length = replay_length(settings, sum(len(one.tokens) for one in training) / len(training))
    path = folder / REPLAY
    if not path.exists():
        draw = np.random.default_rng([settings.seed, 2])
        starts = [int(training[one].tokens[0]) for one in draw.integers(0, len(training), count)]
        made = np.concatenate(
            [
                _sample(network, starts[first : first + _ROWS], length, settings.seed + first)
                for first in range(0, count, _ROWS)
            ]
        )
        with replacing(path) as new, new.open("wb") as file:
            np.save(file, made)
    tokens = np.load(path, allow_pickle=False).astype(np.int64)
    counts = np.arange(length) > 0
    return [Example(row, counts) for row in tokens]


def _sample(network: Network, starts: Sequence[int], length: int, seed: int) -> Any:  # noqa: ANN401
    """What the model says at temperature 1, as an array of (starts, length)."""
    model = network.model
    random = torch.Generator(network.device).manual_seed(seed)
    tokens = torch.tensor(starts, device=network.device)[:, None]
    pieces, cache = [tokens], DynamicCache(config=model.config)
    model.eval()
    with torch.no_grad(), network.computing():
        for place in range(length - 1):
            logits = model(
                input_ids=pieces[-1],
                position_ids=torch.full_like(tokens, place),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            shares = torch.softmax(logits.float(), dim=-1)
            pieces.append(torch.multinomial(shares, 1, generator=random))
    model.train()
    return torch.cat(pieces, dim=1).cpu().numpy().astype(np.int32)
