"""Converts models and LoRA adapters of other formats to GGUF, as a child that can be ended.

llama.cpp's converters lie beside the engine, as its build installs them; the child
(`convert_child.py`) runs them in a Python that has PyTorch.
"""

from __future__ import annotations

import ast
import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ayllu.errors import UnsupportedError
from ayllu.gguf.tool import Step, child_failure, running

PARTS = ("conversion", "convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "gguf")
"""What the engine's build installs beside it."""

_CHILD = Path(__file__).with_name("convert_child.py")


def converters_folder() -> Path:
    """Where llama.cpp's converters are. Raises UnsupportedError where the engine has none."""
    spec = find_spec("llama_cpp")
    folder = Path(spec.origin).parent.parent if spec and spec.origin else None
    if folder is None or not all((folder / part).exists() for part in PARTS):
        raise UnsupportedError(
            "the engine was installed without its converters: run `make setup` in a checkout"
        )
    return folder


@cache
def known_architectures() -> frozenset[str]:
    """The names in a config.json's `architectures` that the converter knows.

    They are read from its source, for running it takes PyTorch and seconds.
    """
    tree = ast.parse((converters_folder() / "conversion" / "__init__.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TEXT_MODEL_MAP":
            return frozenset(ast.literal_eval(node.value)) if node.value else frozenset()
    return frozenset()


async def convert_model(
    python: Path, folder: Path, target: Path, *, projector: Path | None, fp8: str
) -> AsyncGenerator[Step]:
    """Write the model in a folder to `target`, and what it sees or hears with to `projector`.

    `projector` is left as it is by a model without senses. Weights keep their type; those in FP8
    become `fp8`, `bf16` or `q8_0`. Closing the generator ends the child. Raises OSError when a
    target cannot be written, BadRequestError with what is wrong with the model.
    """
    options = ["--fp8", fp8, *(["--projector", str(projector)] if projector else [])]
    async with aclosing(_convert(python, folder, target, options, "the model")) as steps:
        async for step in steps:
            yield step


async def convert_adapter(
    python: Path, folder: Path, target: Path, *, base: Path
) -> AsyncGenerator[Step]:
    """Write the LoRA adapter in a folder to `target`; `base` holds its model's config.json."""
    options = ["--adapter", str(base)]
    async with aclosing(_convert(python, folder, target, options, "the adapter")) as steps:
        async for step in steps:
            yield step


async def convert_weights(
    python: Path, folder: Path, target: Path, *, types: Path
) -> AsyncGenerator[Step]:
    """Write the tensors of a model in a folder to `target`, a GGUF that says nothing else.

    `types` is JSON: the names of the tensors to be written, each with its type, `F32`, `F16` or
    `BF16`.
    """
    options = ["--types", str(types)]
    async with aclosing(_convert(python, folder, target, options, "the trained model")) as steps:
        async for step in steps:
            yield step


async def _convert(
    python: Path, folder: Path, target: Path, options: list[str], what: str
) -> AsyncGenerator[Step]:
    paths = (_CHILD, converters_folder(), folder, target)
    async with running(python, ["-P", *map(str, paths), *options]) as child:
        async with aclosing(child.steps()) as steps:
            async for step in steps:
                yield step
        if code := await child.wait():
            log = child.log.replace(f"{folder}{os.sep}", "")  # a name that tells nobody anything
            raise await asyncio.to_thread(
                child_failure,
                code,
                log,
                python=python,
                target=target,
                doing=f"converting {what}",
                refusal=f"{what} cannot be converted",
                extra="import",
            )
