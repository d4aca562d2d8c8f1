"""The network: Llama's, as llama.cpp's `llama` architecture computes it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5
ROPE_BASE = 10_000.0
CONTEXT = 1024


@dataclass(frozen=True)
class Shape:
    """The size of a network. Embeddings are tied: the output matrix is the input's."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    feed_forward: int
    vocabulary: int


class Layer(nn.Module):
    """Attention and a gated feed-forward, each behind an RMS norm. x: [batch, time, width]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        wide, narrow = shape.heads * shape.head, shape.kv_heads * shape.head
        self.attn_norm = nn.RMSNorm(shape.width, eps=EPSILON)
        self.attn_q = nn.Linear(shape.width, wide, bias=False)
        self.attn_k = nn.Linear(shape.width, narrow, bias=False)
        self.attn_v = nn.Linear(shape.width, narrow, bias=False)
        self.attn_output = nn.Linear(wide, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=EPSILON)
        self.ffn_gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """The layer's output, added to its input."""
        shape, (batch, time, _) = self.shape, x.shape
        h = self.attn_norm(x)
        q = self.attn_q(h).view(batch, time, shape.heads, shape.head).transpose(1, 2)
        k = self.attn_k(h).view(batch, time, shape.kv_heads, shape.head).transpose(1, 2)
        v = self.attn_v(h).view(batch, time, shape.kv_heads, shape.head).transpose(1, 2)
        q, k = _turn(q, turns).to(v.dtype), _turn(k, turns).to(v.dtype)
        shared = shape.heads // shape.kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_output(mixed.transpose(1, 2).reshape(batch, time, -1))
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Net(nn.Module):
    """Tokens [batch, time] to logits [batch, time, vocabulary]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=EPSILON)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                scale = 0.02 / (2 * shape.layers) ** 0.5 if _ends_branch(name) else 0.02
                nn.init.normal_(weight, std=scale)

    def forward(self, tokens: Tensor) -> Tensor:
        """The logits of the token after each."""
        turns = _angles(tokens.shape[1], self.shape.head)
        x = self.token_embd(tokens)
        for layer in self.blk:
            x = layer(x, turns)
        return functional.linear(self.output_norm(x), self.token_embd.weight)


def _ends_branch(name: str) -> bool:
    return name.endswith(("attn_output.weight", "ffn_down.weight"))


def _angles(time: int, head: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of RoPE, [time, head / 2]."""
    rates = ROPE_BASE ** (-torch.arange(0, head, 2, dtype=torch.float32) / head)
    angles = torch.outer(torch.arange(time, dtype=torch.float32), rates)
    return angles.cos(), angles.sin()


def _turn(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """RoPE on neighbouring pairs, llama.cpp's NORM form. x: [batch, heads, time, head]."""
    cos, sin = turns
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
