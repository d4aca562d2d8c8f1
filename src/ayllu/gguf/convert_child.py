"""A program: converts a model or a LoRA adapter to GGUF with llama.cpp's converters.

It runs in a Python that has PyTorch, so it imports nothing of ours. What it reads is untrusted: no
code that a model brings is run, nothing is unpickled beyond tensors, and nothing is downloaded. It
reports in lines that begin with `@`: `@at DONE TOTAL` in bytes, and before it fails `@refused WHY`,
`@missing MODULE` or `@disk`. All else that it and the converters say is for the log.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import runpy
import sys
import traceback
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

CONVERTERS = ("conversion", "convert_hf_to_gguf", "gguf")
"""What is taken from the engine's folder, and nothing else of that folder."""

_TYPES = {"F32": "f32", "F64": "f32", "F16": "f16", "BF16": "bf16"}
_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_START = r"[^\r\n\p{L}\p{N}]?"
_CASED = (rf"{_START}{_UPPER}*{_LOWER}+", rf"{_START}{_UPPER}+{_LOWER}*")
_SLASHED = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PRE_TOKENIZERS = {
    (_GPT2,): "gpt-2",
    ("digits", _GPT2): "smollm",
    (rf"{_SHORT}|{_LETTERS}|\p{{N}}{_REST}",): "qwen2",
    (rf"{_SHORT}|{_LETTERS}|\p{{N}}{{1,3}}{_REST}",): "dbrx",
    ("|".join(f"{case}{_SHORT}?" for case in _CASED) + rf"|\p{{N}}{{1,3}}{_SLASHED}",): "gpt-4o",
    ("|".join(_CASED) + rf"|\p{{N}}{_SLASHED}",): "tekken",
}
"""How byte-level tokenizers split a text, and what llama.cpp calls that (src/llama-vocab.cpp).

The converter knows a tokenizer by the tokens that it makes of one text, so one with a vocabulary of
its own is new to it, however it splits.
"""


class Refusal(Exception):  # noqa: N818 - it is how this program says no
    """A reason that the user can read."""


def main() -> int:
    """Convert what the command line names; returns the exit status."""
    arguments = _arguments()
    logged = _Logged()
    logging.basicConfig(level=logging.INFO, handlers=[logging.StreamHandler(sys.stderr), logged])
    try:
        _prepare(arguments.converters)
        if arguments.adapter:
            _convert_adapter(arguments)
        elif arguments.types:
            _convert_weights(arguments)
        else:
            _convert_model(arguments)
    except Refusal as error:
        return _refuse(str(error))
    except SystemExit as error:
        return _refuse(_one_line(logged.error)) if error.code else 0
    except ModuleNotFoundError as error:
        return _fail(f"@missing {error.name}")
    except Exception as error:  # noqa: BLE001 - whatever a hostile file does to the converter
        traceback.print_exc()
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            _say("@disk")  # NumPy's has no number; whoever started us looks for one
        return _refuse(_reason(error))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("converters", type=Path, help="the folder that holds llama.cpp's")
    parser.add_argument("folder", type=Path, help="what is converted")
    parser.add_argument("target", type=Path, help="the GGUF to write")
    parser.add_argument("--projector", type=Path, help="the GGUF for a projector, if there is one")
    parser.add_argument("--fp8", default="bf16", help="what becomes of weights in FP8")
    parser.add_argument("--adapter", type=Path, metavar="BASE", help="an adapter for this model")
    parser.add_argument(
        "--types", type=Path, help="JSON: only the tensors, and the types of those to be written"
    )
    return parser.parse_args()


def _prepare(converters: Path) -> None:
    """Make the converters importable and harmless. Raises ModuleNotFoundError."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "NO_LOCAL_GGUF": "1"}
    sys.meta_path.insert(0, _Converters(converters))
    _trust_nobody()
    base = importlib.import_module("conversion.base")
    _refuse_nan(base.torch, base.LazyTorchTensor)
    _name_pre_tokenizers(base.TextModel)
    tqdm: Any = importlib.import_module("tqdm")
    tqdm.tqdm = _Bar


class _Converters:
    """Finds the converters' modules, which lie among packages that are not for us."""

    def __init__(self, folder: Path) -> None:
        self._path = [str(folder)]

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """A converter's module, as the import system asks for it."""
        if path is None and name in CONVERTERS:
            return PathFinder.find_spec(name, self._path)
        return None


def _trust_nobody() -> None:
    """Keep transformers from running a model's code, and PyTorch from unpickling."""
    import torch

    dynamic: Any = importlib.import_module("transformers.dynamic_module_utils")

    def refuse(*_: Any, **__: Any) -> None:
        raise Refusal("it needs code of its own (trust_remote_code), which is never run here")

    # Before the classes below import them: the converters ask to trust in many places.
    dynamic.get_class_from_dynamic_module = refuse
    dynamic.get_class_in_module = refuse
    transformers = importlib.import_module("transformers")
    for name in ("AutoConfig", "AutoTokenizer"):
        auto = getattr(transformers, name)
        auto.from_pretrained = _distrusting(auto.from_pretrained)
    load = torch.load

    def load_tensors(*arguments: Any, **options: Any) -> Any:
        return load(*arguments, **options | {"weights_only": True})

    torch.load = load_tensors


def _distrusting(from_pretrained: Any) -> Any:
    def load(*arguments: Any, **options: Any) -> Any:
        mine = {"trust_remote_code": False, "local_files_only": True}
        return from_pretrained(*arguments, **options | mine)

    return load


def _refuse_nan(torch: Any, lazy: Any) -> None:
    """Look at every number on its way from the source to the file."""
    to_numpy = lazy.numpy

    def numpy(self: Any) -> Any:
        made = to_numpy(self)
        function = made._func
        made._func = lambda tensor: function(check(tensor))
        return made

    def check(tensor: Any) -> Any:
        if tensor.is_floating_point() and tensor.numel():
            extremes = torch.stack(torch.aminmax(tensor))
            if not bool(torch.isfinite(extremes).all()):
                raise Refusal("its weights hold numbers that are none (NaN or infinity)")
        return tensor

    lazy.numpy = numpy


def _name_pre_tokenizers(text_model: Any) -> None:
    """Know tokenizers with vocabularies of their own by how they split a text."""
    known = text_model.get_vocab_base_pre

    def name(self: Any, tokenizer: Any) -> str:
        try:
            return str(known(self, tokenizer))
        except NotImplementedError:
            found = pre_tokenizer_name(self.dir_model / "tokenizer.json")
            if found is None:
                raise Refusal(
                    "its tokenizer splits texts in a way that the engine does not know"
                ) from None
            return found

    text_model.get_vocab_base_pre = name


def pre_tokenizer_name(path: Path) -> str | None:
    """What llama.cpp calls the way a tokenizer.json splits a text; None where it has no name."""
    try:
        tokenizer = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    steps = tokenizer.get("pre_tokenizer") or {}
    splits: list[str] = []
    for step in steps.get("pretokenizers") or [steps]:
        kind = step.get("type")
        if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
            splits.append(step["pattern"].get("Regex", ""))
        elif kind == "Digits" and step.get("individual_digits"):
            splits.append("digits")
        elif kind == "ByteLevel":
            splits += [_GPT2] if step.get("use_regex", True) else []
        else:
            return None
    found = PRE_TOKENIZERS.get(tuple(splits))
    whole_words = tokenizer.get("model", {}).get("ignore_merges")
    return "llama-bpe" if found == "dbrx" and whole_words else found


class _Bar:
    """Stands in for tqdm's bar where the GGUF is written."""

    def __init__(self, *_: Any, total: int = 0, **__: Any) -> None:
        self._done, self._total = 0, total
        self.update(0)

    def update(self, size: int) -> None:
        """Some bytes more are written."""
        self._done += size
        _say(f"@at {self._done} {self._total}")


def _convert_model(arguments: argparse.Namespace) -> None:
    """Write a model's GGUF, and its projector's where it can see or hear."""
    conversion = importlib.import_module("conversion")
    converter = importlib.import_module("convert_hf_to_gguf")
    folder = arguments.folder
    options = ["--outtype", _type_of(folder, arguments.fp8)]
    hparams = conversion.ModelBase.load_hparams(folder, is_mistral_format=False)
    try:
        architecture = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
    except ValueError:
        raise Refusal("its config.json names no architecture") from None
    try:
        model = conversion.get_model_class(architecture)
    except NotImplementedError:
        raise Refusal(f"the engine does not know the architecture {architecture}") from None
    model.set_vocab = _explaining(model.set_vocab)
    _run(converter.main, [*options, "--outfile", arguments.target, folder])
    if arguments.projector and _has_projector(conversion, hparams):
        try:
            _run(converter.main, [*options, "--mmproj", "--outfile", arguments.projector, folder])
        except (KeyError, NotImplementedError, ValueError) as error:
            traceback.print_exc()
            raise Refusal(f"its part for images or sound: {_reason(error)}") from error


def _run(function: Any, options: list[Any]) -> None:
    sys.argv = [function.__module__, *map(str, options)]
    function()


def _has_projector(conversion: Any, hparams: dict[str, Any]) -> bool:
    name = conversion.get_model_architecture(hparams, conversion.ModelType.MMPROJ)
    towers = ("vision_config", "audio_config", "whisper_config", "vision_model")
    return name in conversion.MMPROJ_MODEL_MAP and any(hparams.get(tower) for tower in towers)


def _type_of(folder: Path, fp8: str) -> str:
    """The converter's word for the type that most of the weights have."""
    import gguf
    import torch

    sizes: dict[str, int] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        for tensor in gguf.utility.SafetensorsLocal(path).tensors.values():
            if len(tensor.shape) > 1:
                sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.data_range.size
    for path in sorted(folder.glob("pytorch_model*.bin")) if not sizes else ():
        for tensor in torch.load(path, map_location="cpu", mmap=True, weights_only=True).values():
            if tensor.dim() > 1:
                name = str(tensor.dtype).removeprefix("torch.")
                name = {"bfloat16": "BF16"}.get(name, name.replace("float", "F"))
                sizes[name] = sizes.get(name, 0) + tensor.nbytes
    most = max(sizes, key=lambda name: sizes[name]) if sizes else ""
    return fp8 if most.startswith("F8") else _TYPES.get(most, "auto")


def _explaining(set_vocab: Any) -> Any:
    """Tell what is wrong with a tokenizer in a sentence."""

    def explained(self: Any) -> None:
        try:
            set_vocab(self)
        except Refusal:
            raise
        except Exception as error:
            if "trust_remote_code" in str(error):
                raise Refusal(
                    "its tokenizer is a program of its own (trust_remote_code), which is never run"
                ) from error
            raise Refusal(f"its tokenizer cannot be used: {_reason(error)}") from error

    return explained


def _convert_adapter(arguments: argparse.Namespace) -> None:
    """Write a LoRA adapter's GGUF for a model of which the config is there."""
    program = arguments.converters / "convert_lora_to_gguf.py"
    options = ["--base", arguments.adapter, "--outfile", arguments.target, arguments.folder]
    sys.argv = [str(program), *map(str, options)]
    runpy.run_path(str(program), run_name="__main__")


def _convert_weights(arguments: argparse.Namespace) -> None:
    """Write a GGUF of a model's tensors alone: what else it needs lies in the GGUF it came from.

    Each gets the type that is said for its name; a tensor that is not named there is left out, as
    an output is that the embeddings stand in for.
    """
    gguf: Any = importlib.import_module("gguf")
    conversion: Any = importlib.import_module("conversion")
    types = json.loads(arguments.types.read_text("utf-8"))
    hparams = conversion.ModelBase.load_hparams(arguments.folder, is_mistral_format=False)
    name = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
    known: Any = conversion.get_model_class(name)

    class Weights(known):  # type: ignore[misc]
        model_arch = known.model_arch

        def prepare_metadata(self, **_: Any) -> None:
            """None: the GGUF that this came from has all."""

        def generate_extra_tensors(self) -> Any:
            return ()

        def modify_tensors(self, data_torch: Any, name: str, bid: int | None) -> Any:
            for new_name, data in super().modify_tensors(data_torch, name, bid):
                if new_name in types:
                    yield new_name, data

        def tensor_force_quant(self, _: str, new_name: str, *__: Any) -> Any:
            return gguf.GGMLQuantizationType[types[new_name]]

    everything = gguf.LlamaFileType.ALL_F32
    Weights(arguments.folder, everything, arguments.target, hparams=hparams).write()


class _Logged(logging.Handler):
    """Keeps the first error that a converter logs before it exits."""

    error = "the converter gave no reason"

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        """Take the first."""
        if self.error is _Logged.error:
            self.error = record.getMessage()


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"a config lacks {error}"
    if type(error).__name__ == "UnpicklingError":
        return "one of its files holds more than tensors, which is never opened: take safetensors"
    return f"{type(error).__name__}: {_one_line(str(error))}"


def _one_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was given"])[0][:300]


def _refuse(why: str) -> int:
    return _fail(f"@refused {_one_line(why)}")


def _fail(line: str) -> int:
    _say(line)
    return 1


def _say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
