"""The gradient of some examples, computed where they are, and as one array on its way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ayllu.trainer.batches import Batch, make_batch, summed_loss
from ayllu.trainer.examples import Example
from ayllu.trainer.frames import Numbers
from ayllu.trainer.network import Network

Tensor = Any


def as_batch(network: Network, examples: Sequence[Example]) -> Batch:
    """Examples that go through the model together, where it is."""
    return make_batch(examples, packing=network.settings.packing, device=network.device)


def learn(network: Network, batches: Iterable[Batch], counted: int) -> Tensor:
    """Add the gradient of batches to the weights'; returns their share of the mean loss.

    `counted` are the predictions that the mean is of.
    """
    total = torch.zeros((), device=network.device)
    for batch in batches:
        with network.computing():
            loss = summed_loss(network.model, batch) / counted
        loss.backward()
        total += loss.detach()
    return total


def flat(weights: Iterable[Tensor]) -> Numbers:
    """Weights behind one another, as an array of float32."""
    parts = [weight.detach().float().reshape(-1) for weight in weights]
    return torch.cat(parts).cpu().numpy()


def gradient(weights: Iterable[Tensor]) -> Numbers:
    """The gradients of weights in the same way; 0 where a weight has none."""
    return flat(torch.zeros_like(one) if one.grad is None else one.grad for one in weights)


def add_gradient(weights: Iterable[Tensor], numbers: Numbers) -> None:
    """Add such an array to the gradients of weights."""
    for weight, part in _parts(weights, numbers):
        if weight.grad is None:
            weight.grad = part.clone()
        else:
            weight.grad += part


def set_weights(weights: Iterable[Tensor], numbers: Numbers) -> None:
    """Have weights be what such an array says."""
    with torch.no_grad():
        for weight, part in _parts(weights, numbers):
            weight.copy_(part)


def _parts(weights: Iterable[Tensor], numbers: Numbers) -> Iterable[tuple[Tensor, Tensor]]:
    """Each weight with its part, in its own shape and type and where it is."""
    whole, start = torch.from_numpy(numbers), 0
    for weight in weights:
        part = whole[start : start + weight.numel()]
        yield weight, part.view(weight.shape).to(device=weight.device, dtype=weight.dtype)
        start += weight.numel()
