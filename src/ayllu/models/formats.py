"""The formats that a model's config may name as its `renderer` and `parser`, and what they carry.

Data alone; chat/parsers holds the code that reads each of them. Names are Ollama's.
"""

from __future__ import annotations

from msgspec import Struct

from ayllu.types import ModelConfig

HARMONY_FAMILIES = frozenset({"gptoss", "gpt-oss"})


class Format(Struct, frozen=True):
    """Whether a format tells thinking and tool calls apart from the answer.

    One that thinks `always` cannot be asked not to.
    """

    thinks: bool = False
    tools: bool = True
    always: bool = False


class Usual(Struct, frozen=True):
    """The renderer and parser of an architecture, which share a name, and its stop words."""

    name: str
    stop: tuple[str, ...] = ()


_THINKING = Format(thinks=True)
_TOOLS = Format()
_PLAIN = Format(tools=False)

FORMATS = {
    "qwen3": _TOOLS,
    "qwen3-thinking": _THINKING,
    "qwen3-vl-instruct": _TOOLS,
    "qwen3-vl-thinking": _THINKING,
    "qwen3-coder": _TOOLS,
    "qwen3.5": _THINKING,
    "ornith": _THINKING,
    "nemotron-3-nano": _THINKING,
    "nemotron-3.5-nano": _THINKING,
    "harmony": Format(thinks=True, always=True),
    "deepseek3": _THINKING,
    "cogito": _THINKING,
    "gemma4": _THINKING,
    "gemma4-no-thinking": _TOOLS,
    "functiongemma": _TOOLS,
    "glm-4.7": _THINKING,
    "glm-ocr": _PLAIN,
    "glimmer": Format(thinks=True, always=True),
    "laguna": _THINKING,
    "poolside-v1": _THINKING,
    "ministral": _TOOLS,
    "mistral": _TOOLS,
    "olmo3": _TOOLS,
    "olmo3-think": Format(thinks=True, tools=False),
    "lfm2": _TOOLS,
    "lfm2-thinking": _THINKING,
    "cohere": _THINKING,
    "passthrough": _PLAIN,
}


RENDERERS = frozenset(
    {
        "qwen3-coder",
        "qwen3-vl-instruct",
        "qwen3-vl-thinking",
        "qwen3.5",
        "qwen3.8",
        "ornith",
        "cogito",
        "deepseek3.1",
        "olmo3",
        "olmo3.1",
        "olmo3-think",
        "olmo3-32b-think",
        "nemotron-3-nano",
        "nemotron-3.5-nano",
        "gemma4",
        "gemma4-small",
        "gemma4-large",
        "functiongemma",
        "glm-4.7",
        "glm-ocr",
        "lfm2",
        "lfm2-thinking",
        "laguna",
        "poolside-v1",
        "cohere",
        "glimmer",
    }
)
"""What a config may name as its `renderer`: for us each is the GGUF's own Jinja template."""

_NEMOTRON = Usual("nemotron-3-nano")
USUAL = {
    "gemma4": Usual("gemma4", stop=("<turn|>",)),
    "laguna": Usual("laguna"),
    "nemotron_h": _NEMOTRON,
    "nemotron_h_moe": _NEMOTRON,
    "nemotron_h_omni": _NEMOTRON,
}
"""What models of an architecture are given that are made of a GGUF with a chat template."""


def parser_name(config: ModelConfig, template: str | None) -> str:
    """The format of a model's output, "" where nobody named one that is known.

    Models of the gpt-oss family whose Go template writes harmony's tags need not name it.
    """
    if config.parser:
        return config.parser if config.parser in FORMATS else ""
    tags = template is not None and "<|start|>" in template and "<|end|>" in template
    return "harmony" if config.model_family in HARMONY_FAMILIES and tags else ""


def format_capabilities(name: str) -> frozenset[str]:
    """What a model can do whose output has this format."""
    known = FORMATS.get(name, _PLAIN)
    return frozenset(
        word for word, can in (("tools", known.tools), ("thinking", known.thinks)) if can
    )
