"""The model that is trained: read from a GGUF, fitted with what is to be learned, written again."""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gguf
import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file

from ayllu.errors import BadRequestError, UnsupportedError
from ayllu.trainer import attention
from ayllu.trainer.hardware import prefers_bfloat16
from ayllu.trainer.memory import bound
from ayllu.trainer.spec import Settings, Work

Module = Any
DType = Literal["float32", "bfloat16"]


class Network(NamedTuple):
    """A model and what to know of it: `dtype` is what products are computed in.

    `marks` are the tokens of its vocabulary that are no text.
    """

    model: Module
    settings: Settings
    device: str
    dtype: DType
    stored: Any
    marks: frozenset[int]

    def trained(self) -> dict[str, Any]:
        """The weights that change, by name."""
        named = self.model.named_parameters()
        return {name: weight for name, weight in named if weight.requires_grad}

    def base(self) -> AbstractContextManager[None]:
        """Leave the adapter out, for as long as it has learned nothing: it only takes time."""
        adapts = self.settings.method != "full"
        return self.model.disable_adapter() if adapts else nullcontext()

    def computing(self) -> Any:  # noqa: ANN401 - a context of PyTorch's
        """What to compute within."""
        half = self.dtype == "bfloat16"
        return torch.autocast(self.device, torch.bfloat16, enabled=half, cache_enabled=half)


def choose_device() -> str:
    """Where to compute: `cuda` where there is one, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_dtype(wanted: str, device: str, width: int) -> DType:
    """Products in bfloat16 where the machine has circuits for them, and that is the quicker way."""
    if wanted != "auto":
        return "bfloat16" if wanted == "bfloat16" else "float32"
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if prefers_bfloat16(width) else "float32"


def open_network(work: Work) -> Network:
    """The model of a job, within the memory that it may take. Raises as `read_network` does."""
    bound(work.room if choose_device() == "cpu" else 0)  # CUDA reserves more than it takes
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(work.threads)
    torch.set_num_interop_threads(1)
    return read_network(Path(work.model), work.settings)


def read_network(path: Path, settings: Settings) -> Network:
    """The model of a GGUF, ready to be trained.

    Raises BadRequestError for a model that cannot be read back or lacks the layers to train,
    UnsupportedError where the method needs what is not here.
    """
    device = choose_device()
    if settings.method == "qlora" and device != "cuda":
        raise UnsupportedError("qlora needs a CUDA GPU, and there is none: lora does without")
    frozen = settings.method != "full"
    reader = gguf.GGUFReader(path)
    dtype = choose_dtype(settings.dtype, device, _width(reader))
    model = _read(path, torch.bfloat16 if frozen and dtype == "bfloat16" else torch.float32)
    _stretch(model, reader)
    model.config.use_cache = False
    torch.manual_seed(settings.seed)
    if frozen:
        model.requires_grad_(False)  # noqa: FBT003 - PyTorch's own
        if settings.method == "qlora":
            _quantize(model)
        model = _with_adapter(model.to(device), settings)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    stored, marks = _stored_type(reader), _marks(reader)
    return Network(model.to(device), settings, device, dtype, stored, marks)


def write_result(network: Network, folder: Path) -> None:
    """Write what was learned to a folder: an adapter as PEFT does, or all weights.

    Weights have the type that most of the GGUF's have, float16 where that is a quantized one, and
    vectors float32, as in a GGUF. The network is not to be used after this. Raises OSError.
    """
    folder.mkdir()
    settings = network.settings
    if settings.method == "full" or settings.dora:
        model = network.model.merge_and_unload() if settings.dora else network.model
        weights = {name: _as_stored(weight, network.stored) for name, weight in _whole(model)}
        _save(weights, folder / "model.safetensors")
        return
    config = network.model.peft_config["default"]
    config.base_model_name_or_path = None  # else PEFT asks the hub for it
    config.inference_mode = True
    config.save_pretrained(folder)
    adapter = get_peft_model_state_dict(network.model, save_embedding_layers=False)
    weights = {name: weight.detach().float().contiguous() for name, weight in adapter.items()}
    _save(weights, folder / "adapter_model.safetensors")


def count(network: Network) -> tuple[int, int]:
    """How many numbers are trained, and how many there are in all."""
    sizes = [(weight.numel(), weight.requires_grad) for weight in network.model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def _read(path: Path, dtype: Any) -> Module:  # noqa: ANN401 - of PyTorch's
    """The model alone in a folder: what else is beside it is not for transformers."""
    attention.register()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.gguf").symlink_to(path.resolve())
        return transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file="model.gguf",
            dtype=dtype,
            quantization_config=transformers.GgufConfig(dequantize=True),
            attn_implementation=attention.NAME,
            local_files_only=True,
        )


def _stretch(model: Module, reader: Any) -> None:  # noqa: ANN401 - of gguf
    """Divide the frequencies of the positions as the GGUF says; transformers reads over it.

    Source: ggml's rope, `theta / freq_factors`; llama.cpp's converter writes those of Llama 3.
    """
    for factors in (one for one in reader.tensors if one.name == "rope_freqs.weight"):
        rotary = model.model.rotary_emb
        rotary.inv_freq /= torch.from_numpy(factors.data.copy()).to(rotary.inv_freq)


def _with_adapter(model: Module, settings: Settings) -> Module:
    head = model.get_output_embeddings() if model.config.tie_word_embeddings else None
    linear = {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    unknown = [
        target
        for target in settings.targets
        if not any(f".{name}".endswith(f".{target}") for name in linear)
    ]
    if unknown:
        raise BadRequestError(
            f"this model has no layers {', '.join(unknown)}: those that can be trained are "
            + ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        )
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets) or "all-linear",
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def _quantize(model: Module) -> None:
    """Let bitsandbytes keep the matrices of the layers in 4 bits, once they are on the GPU."""
    try:
        import bitsandbytes  # noqa: PLC0415 - where it is needed and there
    except ImportError:
        raise UnsupportedError("qlora needs bitsandbytes, which is not installed") from None
    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, linear in list(parent.named_children()):
            if type(linear) is not torch.nn.Linear or linear is head:
                continue
            small = bitsandbytes.nn.Linear4bit(
                linear.in_features,
                linear.out_features,
                bias=linear.bias is not None,
                compute_dtype=torch.bfloat16,
                quant_type="nf4",
            )
            small.weight = bitsandbytes.nn.Params4bit(
                linear.weight.data, requires_grad=False, quant_type="nf4"
            )
            small.bias = linear.bias
            setattr(parent, name, small)
    model.is_loaded_in_4bit = True


def _whole(model: Module) -> list[tuple[str, Any]]:
    """All weights by Hugging Face's names; one that is used twice is there once."""
    return [(name, weight) for name, weight in model.named_parameters()]


def _as_stored(weight: Any, dtype: Any) -> Any:  # noqa: ANN401 - tensors and their types
    weight = weight.detach()
    if weight.ndim < 2:
        return weight.float().contiguous()
    if dtype == torch.float16 and weight.abs().max() > torch.finfo(dtype).max:
        dtype = torch.bfloat16
    return weight.to(dtype).contiguous()


def _save(weights: dict[str, Any], path: Path) -> None:
    """Write safetensors. Raises OSError."""
    try:
        save_file(weights, path, {"format": "pt"})
    except Exception as error:
        raise OSError(f"{path.name} cannot be written: {error}") from error


def _stored_type(reader: Any) -> Any:  # noqa: ANN401 - of gguf and PyTorch
    """The type that most of a GGUF's matrices have."""
    sizes: dict[str, int] = {}
    for tensor in reader.tensors:
        if len(tensor.shape) > 1:
            name = tensor.tensor_type.name
            sizes[name] = sizes.get(name, 0) + int(tensor.n_elements)
    most = max(sizes, key=lambda name: sizes[name], default="F16")
    return {"F32": torch.float32, "BF16": torch.bfloat16}.get(most, torch.float16)


def _width(reader: Any) -> int:  # noqa: ANN401 - the same
    keys = [key for key in reader.fields if key.endswith(".embedding_length")]
    return int(reader.fields[keys[0]].contents()) if keys else 0


def _marks(reader: Any) -> frozenset[int]:  # noqa: ANN401 - the same
    field = reader.fields.get("tokenizer.ggml.token_type")
    kinds = field.contents() if field else []
    marks = {gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED}
    return frozenset(token for token, kind in enumerate(kinds) if kind in marks)
