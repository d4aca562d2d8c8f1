"""How long it takes to import a folder of safetensors, and how much memory.

    make bench SCRIPTS=bench/import_model.py [MODEL=FOLDER]

Without a folder, a model of 287 MB in F16 is made. The time is that of a create whose files are
uploaded already: the start of PyTorch, the conversion, the hash of the result and its way into the
store. Needs `make extras`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from hf_maker import Weights, config_of, write_json, write_safetensors, write_tokenizer
from measure import show
from numpy.typing import NDArray
from serving import Serving, serving

from ayllu.gguf.read import read_header
from ayllu.models.shelf import ASSETS
from ayllu.torch_python import find_torch_python

ROUNDS = 3
LAYERS, WIDTH, FEED_FORWARD, HEADS = 9, 1024, 4096, 16
MB = 1e6


def make(folder: Path) -> Path:
    """A llama model of 142 million numbers, all noise, with mini's tokenizer."""
    header = read_header(ASSETS / "mini-f16.gguf")
    shape = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "intermediate_size": FEED_FORWARD,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 2,
        "head_dim": WIDTH // HEADS,
        "tie_word_embeddings": True,
    }
    config = config_of(header) | shape
    folder.mkdir()
    write_json(folder / "config.json", config)
    write_tokenizer(folder, header)
    noise = np.random.default_rng(7)

    def matrix(rows: int, columns: int) -> NDArray[np.float16]:
        return noise.standard_normal((rows, columns), np.float32).astype(np.float16)

    ones = np.ones(WIDTH, np.float16)
    weights: Weights = {
        "model.embed_tokens.weight": matrix(config["vocab_size"], WIDTH),
        "model.norm.weight": ones,
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name, rows, columns in (
            ("self_attn.q_proj", WIDTH, WIDTH),
            ("self_attn.k_proj", WIDTH // 2, WIDTH),
            ("self_attn.v_proj", WIDTH // 2, WIDTH),
            ("self_attn.o_proj", WIDTH, WIDTH),
            ("mlp.gate_proj", FEED_FORWARD, WIDTH),
            ("mlp.up_proj", FEED_FORWARD, WIDTH),
            ("mlp.down_proj", WIDTH, FEED_FORWARD),
        ):
            weights[f"{prefix}{name}.weight"] = matrix(rows, columns)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{prefix}{name}.weight"] = ones
    write_safetensors(folder / "model.safetensors", weights)
    return folder


class Peak:
    """Watches the most memory that the converters of a process take: all, and beside files."""

    def __init__(self, parent: int) -> None:
        self._parent = psutil.Process(parent)
        self.all = self.own = 0
        self.done = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.done.wait(0.02):
            for child in self._parent.children(recursive=True):
                try:
                    if not any("convert" in word for word in child.cmdline()):
                        continue
                    memory = child.memory_info()
                except psutil.Error:
                    continue
                self.all = max(self.all, memory.rss)
                self.own = max(self.own, memory.rss - memory.shared)


def through_the_server(server: Serving, files: dict[str, str]) -> float:
    """Seconds that a create takes."""
    begun = time.perf_counter()
    server.make("x", files=files)
    seconds = time.perf_counter() - begun
    server.request("DELETE", "/api/delete", {"model": "x"})  # or the next round would find it
    return seconds


def main() -> None:
    """Import some times and print medians."""
    python = find_torch_python(os.environ.get("AYLLU_TORCH_PYTHON", ""))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else make(place / "model")
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        print(f"{size / MB:.0f} MB of safetensors, {ROUNDS} rounds")
        with serving(place / "home", AYLLU_TORCH_PYTHON=str(python)) as server:
            files = {}
            for path in folder.iterdir():
                data = path.read_bytes()
                files[path.name] = digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
                server.post(f"/api/blobs/{digest}", data)
            peak = Peak(server.process.pid)
            show("a create", [through_the_server(server, files) for _ in range(ROUNDS)], "s")
            peak.done.set()
            served = psutil.Process(server.process.pid).memory_info().rss
        begun = time.perf_counter()
        subprocess.run(
            [python, "-c", "import torch; from transformers import AutoTokenizer"], check=False
        )
        print(f"importing PyTorch alone: {time.perf_counter() - begun:.1f} s")
        print(
            f"most memory of the converter: {peak.all / MB:.0f} MB, {peak.own / MB:.0f} of its own"
        )
        print(f"the server's: {served / MB:.0f} MB")


if __name__ == "__main__":
    main()
