"""What no table says of a vision tower: keys worked out from shapes, tensors laid out anew.

One function for each projector that needs it, called with the projector's sheet and the name of the
model's architecture, before its tensors are renamed.
"""

from __future__ import annotations

import math
from functools import partial

from ayllu.errors import GGUFError
from ayllu.gguf.sheet import F16, F32, Sheet, count, flags, read, widened
from ayllu.gguf.write import Made, Span, Tensor

_LARGEST_TOWER = 1024


def copy_count(sheet: Sheet, old: str, new: str) -> None:
    """Give a whole number a second name, where there is one."""
    if (number := sheet.number(old)) is not None:
        sheet.keys[new] = count(number)


def _blocks(sheet: Sheet) -> int:
    blocks = sheet.number("clip.vision.block_count") or 0
    if blocks > _LARGEST_TOWER:
        raise GGUFError(f"{sheet.path.name} claims {blocks} layers in its vision tower")
    return blocks


def gemma3(sheet: Sheet, own: str) -> None:
    """How many patches become a token, where they are not the usual 4 by 4."""
    size, patch = (sheet.number(f"{own}.vision.{name}") for name in ("image_size", "patch_size"))
    tokens = sheet.number(f"{own}.mm.tokens_per_image")
    if size and patch and tokens:
        scale = size // patch // math.isqrt(tokens)
        if scale not in {0, 4}:
            sheet.keys["clip.vision.projector.scale_factor"] = count(scale)


def llama4(sheet: Sheet, own: str) -> None:
    """The share of an image's tokens that is left along each side."""
    ratio = sheet.real(f"{own}.vision.pixel_shuffle_ratio") or 0.5
    scale = round(1 / ratio) if 0 < ratio <= 1 else 2
    sheet.keys["clip.vision.projector.scale_factor"] = count(scale)
    sheet.rename("v.positional_embedding_vlm", "v.position_embd.weight")


def mistral3(sheet: Sheet, own: str) -> None:
    """Rows of queries and keys in the order of Llama's rotary positions.

    The token between the rows of an image is not in the tower: zeros change nothing.
    """
    heads = sheet.number("clip.vision.attention.head_count") or 0
    for block in range(_blocks(sheet)):
        for name in (f"v.blk.{block}.attn_q.weight", f"v.blk.{block}.attn_k.weight"):
            if tensor := sheet.tensors.get(name):
                sheet.put(_interleaved(tensor, heads))
    if width := sheet.number(f"{own}.embedding_length"):
        zeros = Made(partial(bytes, 4 * width), 4 * width)
        sheet.put(Tensor("v.token_embd.img_break", (width,), F32, (zeros,)))


def _interleaved(tensor: Tensor, heads: int) -> Tensor:
    """A matrix in whose heads the rows of the second half come between those of the first."""
    rows = tensor.shape[-1]
    (span,) = tensor.parts
    assert isinstance(span, Span)  # noqa: S101 - it is a tensor of the source
    if not heads or rows % (2 * heads):
        raise GGUFError(f"{span.path.name} has {heads} heads in {rows} rows of {tensor.name}")
    made = Made(partial(_interleave, span, rows, rows // heads), span.size)
    return Tensor(tensor.name, tensor.shape, tensor.type_id, (made,))


def _interleave(span: Span, rows: int, head: int) -> bytes:
    data, size = read(span), span.size // rows
    order = (
        start + half * head // 2 + row
        for start in range(0, rows, head)
        for row in range(head // 2)
        for half in (0, 1)
    )
    return b"".join(data[row * size : (row + 1) * size] for row in order)


def qwen25vl(sheet: Sheet, own: str) -> None:
    """Every so many layers look at the whole image."""
    if size := sheet.size("v.blk.0.ffn_up.weight", 1):
        sheet.keys.setdefault("clip.vision.feed_forward_length", count(size))
    if whole := sheet.numbers(f"{own}.vision.fullatt_block_indexes"):
        sheet.keys["clip.vision.n_wa_pattern"] = count(whole[0] + 1)


def qwen35(sheet: Sheet, _own: str) -> None:
    """No layer has a merger of its own."""
    for block in range(_blocks(sheet)):
        _join_attention(sheet, block)
    _split_patches(sheet)
    sheet.keys["clip.vision.is_deepstack_layers"] = flags([False] * _blocks(sheet))


def qwen3vl(sheet: Sheet, own: str) -> None:
    """Some layers have a merger of their own, named after its number and not after the layer's."""
    if size := sheet.size("v.blk.0.mlp.linear_fc1.weight", 1):
        sheet.keys.setdefault("clip.vision.feed_forward_length", count(size))
    places = sheet.size("v.pos_embed.weight", 1)
    patch = sheet.number(f"{own}.vision.patch_size")
    if places and patch:
        sheet.keys.setdefault("clip.vision.image_size", count(math.isqrt(places) * patch))
    for edge, name in (("shortest_edge", "image_min_pixels"), ("longest_edge", "image_max_pixels")):
        copy_count(sheet, f"{own}.vision.{edge}", f"clip.vision.{name}")
    for block in range(_blocks(sheet)):
        _join_attention(sheet, block)
    _split_patches(sheet)
    layers = sheet.numbers(f"{own}.vision.deepstack_visual_indexes")
    mask = [block in layers for block in range(_blocks(sheet))]
    sheet.keys["clip.vision.is_deepstack_layers"] = flags(mask)
    for number, layer in enumerate(layers):
        old, new = f"v.deepstack_merger.{number}.", f"v.deepstack.{layer}."
        sheet.rename_parts((f"{old}linear_fc", f"{new}fc"), (old, new))


def _join_attention(sheet: Sheet, block: int) -> None:
    """The engine wants queries, keys and values in one matrix."""
    for kind in ("weight", "bias"):
        names = [f"v.blk.{block}.attn_{part}.{kind}" for part in "qkv"]
        if names[0] in sheet.tensors:
            sheet.join(f"v.blk.{block}.attn_qkv.{kind}", *names)


def _split_patches(sheet: Sheet) -> None:
    """A convolution over two frames as two over one: (w, h, 2, in * out) to (w, h, in, out)."""
    tensor = sheet.tensors.pop("v.patch_embed.weight", None)
    if tensor is None:
        return
    channels = sheet.number("clip.vision.num_channels") or 3
    shape = tensor.shape
    if len(shape) != 4 or shape[2] != 2 or shape[3] % channels:
        raise GGUFError(f"{sheet.path.name} has a {tensor.name} of another shape: {shape}")
    if tensor.type_id not in {F16, F32}:
        raise GGUFError(f"{sheet.path.name} holds the tensor {tensor.name} in {tensor.type_id}")
    wide = widened(tensor)
    patch = shape[0] * shape[1]
    new = (shape[0], shape[1], channels, shape[3] // channels)
    for frame, name in enumerate(("v.patch_embd.weight", "v.patch_embd.weight.1")):
        made = Made(partial(_frame, wide, 4 * patch, frame), 4 * patch * shape[3])
        sheet.put(Tensor(name, new, F32, (made,)))


def _frame(wide: Span | Made, size: int, frame: int) -> bytes:
    """Every second patch of `size` bytes."""
    data = read(wide) if isinstance(wide, Span) else wide.make()
    starts = range(frame * size, len(data), 2 * size)
    return b"".join(data[start : start + size] for start in starts)


def deepseekocr(sheet: Sheet, own: str) -> None:
    """A second encoder, under a letter of its own."""
    for name in ("block_count", "embedding_length", "head_count"):
        copy_count(sheet, f"{own}.sam.{name}", f"clip.vision.sam.{name}")
    for name in [name for name in sheet.tensors if name.startswith("s.")]:
        sheet.rename(name, f"v.sam.{name.removeprefix('s.')}")
    sheet.rename("v.sam.position_embd", "v.sam.pos_embd.weight")
    sheet.keys["clip.vision.projection_dim"] = count(1280)
