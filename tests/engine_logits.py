"""A program: a model's logits in the engine, computed as PyTorch computes them.

Called with a GGUF, an adapter or nothing (`-`), a file of examples, and the .npy to write: logits
of the first example. The cache is F32 and attention is not fused: what the engine saves with both
is the larger part of how it differs from PyTorch.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as engine
import numpy as np

import ayllu.gguf.score

CHILD = Path(ayllu.gguf.score.__file__).with_name("score_child.py")
F32, UNFUSED = 0, 0


def main(gguf: str, adapter: str, examples: str, target: str) -> None:
    """Write the logits."""
    spec = importlib.util.spec_from_file_location("score_child", CHILD)
    assert spec is not None
    assert spec.loader is not None
    child: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(child)
    defaults = engine.llama_context_default_params

    def exact() -> Any:
        options = defaults()
        options.type_k = options.type_v = F32
        options.flash_attn_type = UNFUSED
        return options

    engine.llama_context_default_params = exact
    adapters = [] if adapter == "-" else [(adapter, 1.0)]
    plan = {"model": gguf, "adapters": adapters, "context": 256, "gpu_layers": 0, "threads": 2}
    with np.load(examples) as file:
        tokens = file["tokens"][: file["ends"][0]].tolist()
    rows = child.Model(plan).read(tokens, 0, set(range(len(tokens))))
    np.save(target, np.stack([logits.copy() for _, logits in rows]))


if __name__ == "__main__":
    main(*sys.argv[1:])
