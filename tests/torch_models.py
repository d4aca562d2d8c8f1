"""A program for the Python that has PyTorch: models that were trained a little, and what they say.

torch_models.py trained GGUF FOLDER       an adapter and all weights, both with some noise
torch_models.py read CHILD CONVERTERS FOLDER ARCHITECTURE...    models of each, read back
torch_models.py weights CHILD CONVERTERS FOLDER ARCHITECTURE...    and converted once more
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

WORDS = 300
SMALL = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
KINDS: dict[str, dict[str, Any]] = {
    "gemma": {"head_dim": 16},
    "gemma2": {"head_dim": 256, "query_pre_attn_scalar": 256},
    "gemma3": {
        "model_type": "gemma3_text",
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "sliding_window": 32,
    },
    "llama": {"head_dim": 16},
    "phi3": {"original_max_position_embeddings": 128},
    "qwen3": {"head_dim": 128},
}
"""What the architectures have of their own."""


def main(what: str, *arguments: str) -> None:
    """Do one of the three."""
    if what == "trained":
        train(*map(Path, arguments))
        return
    child, folder = load_child(*map(Path, arguments[:2])), Path(arguments[2])
    for name in arguments[3:]:
        if what == "read":
            read(folder / name, name)
        else:
            weights(child, folder / name)


def train(gguf: Path, folder: Path) -> None:
    """Write `adapter/`, `full/`, `examples.npz`, and `losses.json` of both and of the base.

    `logits.npz` has the logits of the first example, of the base and with the adapter.
    """
    examples = write_examples(folder, words=2000, count=6)
    losses, logits = {}, {}
    torch.manual_seed(0)
    model = load(gguf)
    losses["base"] = loss_of(model, examples)
    logits["base"] = logits_of(model, examples[:1])[0].numpy()
    adapted = get_peft_model(
        model,
        LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    noise(adapted, 0.05, "lora_B")
    adapted.save_pretrained(folder / "adapter")
    losses["adapter"] = loss_of(adapted, examples)
    logits["adapter"] = logits_of(adapted, examples[:1])[0].numpy()
    np.savez(folder / "logits.npz", **logits)
    model = load(gguf)
    noise(model, 0.01, "")
    save(model, folder / "full")
    losses["full"] = loss_of(model, examples)
    (folder / "losses.json").write_text(json.dumps(losses), "utf-8")


def load(gguf: Path) -> Any:
    """The model of a GGUF, as a trainer reads it."""
    path = {"gguf_file": gguf.name, "dtype": torch.float32}
    return AutoModelForCausalLM.from_pretrained(str(gguf.parent), **path).eval()


def noise(model: Any, size: float, which: str) -> None:
    """Change all weights that have `which` in their names."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if which in name:
                weight.add_(torch.randn_like(weight) * size)


def save(model: Any, folder: Path) -> None:
    """All weights, but for an output that the embeddings stand in for."""
    folder.mkdir(parents=True, exist_ok=True)
    left_out = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    weights = {name: one.clone() for name, one in model.state_dict().items()}
    kept = {name: one.contiguous() for name, one in weights.items() if name not in left_out}
    save_file(kept, str(folder / "model.safetensors"))


def write_examples(folder: Path, *, words: int, count: int, size: int = 60) -> Any:
    """Some nonsense, of which the second half counts; the last two examples are held back."""
    tokens = np.random.default_rng(0).integers(10, words, (count, size)).astype(np.int32)
    trained = np.zeros_like(tokens, np.uint8)
    trained[:, size // 2 :] = 1
    held = (np.arange(count) >= count - 2).astype(np.uint8)
    ends = np.arange(1, count + 1, dtype=np.int64) * size
    path = folder / "examples.npz"
    np.savez(path, tokens=tokens.ravel(), trained=trained.ravel(), ends=ends, held=held)
    return tokens


def loss_of(model: Any, examples: Any) -> float:
    """The mean of -log p over the second halves, in nats."""
    ids = torch.from_numpy(examples).long()
    chances = torch.log_softmax(logits_of(model, examples).double(), -1)
    taken = chances[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    return float(-taken[:, ids.shape[1] // 2 - 1 :].mean())


def logits_of(model: Any, examples: Any) -> Any:
    """What the model says to each token of some examples."""
    with torch.no_grad():
        return model(torch.from_numpy(examples).long()).logits


def load_child(path: Path, converters: Path) -> Any:
    """The program that converts, as a module, with llama.cpp's converters at hand."""
    spec = importlib.util.spec_from_file_location("convert_child", path)
    assert spec is not None
    assert spec.loader is not None
    child: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(child)
    child._prepare(converters)
    return child


def read(folder: Path, name: str) -> None:
    """Write `base.gguf`, and `back/` with what was read of it.

    A line of JSON says how the tensors differ, and the losses of both, or why it cannot be read.
    """
    try:
        said = _read(folder, name)
    except ValueError as error:
        said = {"error": str(error)}
    sys.stdout.write("@" + json.dumps({"name": name, **said}) + "\n")


def weights(child: Any, folder: Path) -> None:
    """Convert `back/` to `back.gguf`, with the `types.json` that lies there."""
    back = folder / "back"
    paths = {"folder": back, "target": folder / "back.gguf", "types": back / "types.json"}
    child._convert_weights(Namespace(**paths))


def _read(folder: Path, name: str) -> dict[str, Any]:
    folder.mkdir(parents=True)
    examples = write_examples(folder, words=WORDS, count=3)
    torch.manual_seed(1)
    config = AutoConfig.for_model(**({"model_type": name} | SMALL | KINDS.get(name, {})))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    noise(model, 0.05, "")
    save(model, folder)
    words = {str(place): place for place in range(WORDS)}
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": words}, "added_tokens": []}), "utf-8"
    )
    named = config.to_dict() | {"architectures": [type(model).__name__]}
    (folder / "config.json").write_text(json.dumps(named, default=str), "utf-8")
    _convert(folder)
    back = load(folder / "base.gguf")
    states = model.state_dict(), back.state_dict()
    save(back, folder / "back")
    return {
        "differ": [
            key
            for key, one in states[0].items()
            if not torch.allclose(one, states[1][key], atol=1e-6)
        ],
        "losses": [loss_of(model, examples), loss_of(back, examples)],
    }


def _convert(folder: Path) -> None:
    """As llama.cpp's converter does, but for the vocabulary."""
    gguf: Any = importlib.import_module("gguf")
    conversion: Any = importlib.import_module("conversion")
    hparams = conversion.ModelBase.load_hparams(folder, is_mistral_format=False)
    name = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
    known: Any = conversion.get_model_class(name)

    class Made(known):  # type: ignore[misc]
        model_arch = known.model_arch

        def set_vocab(self) -> None:
            writer = self.gguf_writer
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre("gpt-2")
            writer.add_token_list([f"t{place}" for place in range(WORDS)])
            writer.add_token_types([1] * WORDS)
            writer.add_token_merges(["t 1"])
            writer.add_bos_token_id(0)
            writer.add_eos_token_id(1)
            writer.add_pad_token_id(2)

    Made(folder, gguf.LlamaFileType.ALL_F32, folder / "base.gguf", hparams=hparams).write()


if __name__ == "__main__":
    main(*sys.argv[1:])
