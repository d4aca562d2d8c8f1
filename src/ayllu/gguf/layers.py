"""What each layer of a model takes, to the byte: the ground of every plan of where it runs.

Sizes come from the tensors' list alone, KV cache from the header's figures; `file_sizes` reads the
headers of all of a model's parts, once as long as they stay the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from ayllu.gguf import arch
from ayllu.gguf.cache import Stamp, cached_header, stamp
from ayllu.gguf.read import Header, TensorInfo
from ayllu.gguf.shards import shards_of

_BLOCK = re.compile(r"(?:enc\.|dec\.)?blk\.(\d{1,6})\.")
_EXPERTS = re.compile(r"_(?:ch)?exps\.")
"""Tensors that hold all experts of a layer one after the other; shared ones (`_shexp`) are none."""
_LOOKED_UP = re.compile(r"(?:token_embd|per_layer_token_embd|position_embd|token_types)\.")
"""Tables of which a token reads one row."""
_EMBEDDING = "token_embd.weight"
_OUTPUT = "output.weight"


class LayerSizes(Struct, frozen=True):
    """What a model's file says of its size, for one type of KV cache.

    `weights` are each layer's bytes, `active` those of them that a token reads (less where experts
    are chosen), `operations` the floating-point operations of a token in them, `kv` each layer's
    bytes of KV cache per token. `width` is the number of values that one layer hands to the next,
    per token (FP32 on the way to another machine).
    """

    weights: tuple[int, ...]
    active: tuple[int, ...]
    operations: tuple[int, ...]
    kv: tuple[int, ...]
    embedding: int
    """Tables of which a token reads one row, unless the output layer shares them."""
    output: int
    """Whatever else belongs to no layer: the output with its norm. A token reads all of it."""
    width: int
    largest: int
    """The largest tensor of a layer, which a worker holds once more while it comes."""

    @property
    def layers(self) -> int:
        """How many layers the model has."""
        return len(self.weights)

    @property
    def head(self) -> int:
        """What belongs to no layer, in bytes; it lies on the machine that answers."""
        return self.embedding + self.output

    @property
    def total(self) -> int:
        """All of the model's tensors."""
        return sum(self.weights) + self.head


def layer_sizes(header: Header, *parts: Header, kv_cache_type: str = "f16") -> LayerSizes:
    """The sizes of a model; `parts` are the headers of its other files, where it has several.

    Raises GGUFError for a header that makes no sense. What recurrent layers keep of a conversation
    is not counted: it is small, and no longer with a longer context.
    """
    count = arch.block_count(header)
    weights, active, operations = [0] * count, [0] * count, [0] * count
    share = arch.expert_share(header)
    looked_up = output = largest = embedding = 0
    has_output = False
    for tensor in _tensors((header, *parts)):
        layer = _layer(tensor, count)
        if layer is not None:
            used = share if _EXPERTS.search(tensor.name) else 1
            weights[layer] += tensor.size
            active[layer] += int(tensor.size * used)
            operations[layer] += int(2 * tensor.elements * used)
            largest = max(largest, tensor.size)
        elif tensor.name == _EMBEDDING:
            embedding = tensor.size
        elif _LOOKED_UP.match(tensor.name):
            looked_up += tensor.size
        else:
            has_output = has_output or tensor.name == _OUTPUT
            output += tensor.size
    return LayerSizes(
        weights=tuple(weights),
        active=tuple(active),
        operations=tuple(operations),
        kv=arch.kv_layer_bytes(header, kv_cache_type),
        embedding=looked_up + (embedding if has_output else 0),
        output=output + (0 if has_output else embedding),
        width=arch.embedding_length(header),
        largest=largest,
    )


def file_sizes(path: Path, kv_cache_type: str = "f16") -> LayerSizes:
    """The sizes of the model whose (first) file this is. Raises GGUFError."""
    stamps = tuple((part, stamp(part)) for part in shards_of(path))
    return _file_sizes(stamps, kv_cache_type)


@lru_cache(maxsize=64)
def _file_sizes(stamps: tuple[tuple[Path, Stamp], ...], kv_cache_type: str) -> LayerSizes:
    first, *others = (cached_header(part) for part, _ in stamps)
    return layer_sizes(first, *others, kv_cache_type=kv_cache_type)


def _tensors(headers: Iterable[Header]) -> Iterable[TensorInfo]:
    return (tensor for header in headers for tensor in header.tensors)


def _layer(tensor: TensorInfo, count: int) -> int | None:
    """The layer that a tensor belongs to, if it does."""
    found = _BLOCK.match(tensor.name)
    layer = int(found[1]) if found else count
    return layer if layer < count else None
