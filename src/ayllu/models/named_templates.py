"""The prompt formats that ship as Go templates, and finding the one that a Jinja template writes.

A GGUF's Jinja template is not run here: the marks that it writes around messages tell its family.
One with a mark too many, or that knows of tools or thinking, is none of these. Names are Ollama's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

import msgspec
from msgspec import Struct

from ayllu.gguf import arch
from ayllu.models.shelf import ASSETS

LONGEST = 1 << 16
"""Characters of a Jinja template that is looked at."""


class NamedTemplate(Struct, frozen=True):
    """A Go template and the words that end an answer in its format."""

    name: str
    text: str
    stop: tuple[str, ...]


class _Stops(Struct, frozen=True):
    stop: tuple[str, ...] = ()


class _Marks(Struct, frozen=True):
    """What a family's Jinja templates write: all of `always`, and besides only what is in `may`."""

    always: frozenset[str]
    may: frozenset[str] = frozenset()


def _marks(*always: str, may: str = "") -> _Marks:
    return _Marks(frozenset(always), frozenset(filter(None, (may,))))


_FAMILIES = {
    "alfred": _marks("<start_user>", "<start_assistant>", "<end_message>", may="<start_system>"),
    "alpaca": _marks("### Instruction:", "### Response:"),
    "chatml": _marks("<|im_start|>", "<|im_end|>"),
    "chatqa": _marks("User:", "Assistant:", may="System:"),
    "codellama-70b-instruct": _marks("Source:", "Destination:", "<step>"),
    "command-r": _marks(
        "<|START_OF_TURN_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
        "<|USER_TOKEN|>",
        "<|CHATBOT_TOKEN|>",
        may="<|SYSTEM_TOKEN|>",
    ),
    "falcon-instruct": _marks("User:", "Falcon:", may="System:"),
    "gemma-instruct": _marks("<start_of_turn>", "<end_of_turn>"),
    "gemma3-instruct": _marks("<start_of_turn>", "<end_of_turn>", "<start_of_image>"),
    "granite-instruct": _marks("Question:", "Answer:", may="System:"),
    "llama2-chat": _marks("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    "llama3-instruct": _marks("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "magicoder": _marks("@@ Instruction", "@@ Response"),
    "mistral-instruct": _marks("[INST]", "[/INST]"),
    "openchat": _marks("GPT4 Correct Assistant:", "<|end_of_turn|>", may="GPT4 Correct User:"),
    "phi-3": _marks("<|user|>", "<|assistant|>", "<|end|>", may="<|system|>"),
    "solar-instruct": _marks("### User:", "### Assistant:", may="### System:"),
    "starcoder2-instruct": _marks("### Instruction", "### Response"),
    "vicuna": _marks("USER:", "ASSISTANT:"),
    "zephyr": _marks("<|user|>", "<|assistant|>", may="<|system|>"),
}
_ANYWHERE = frozenset(
    {"<s>", "</s>", "<bos>", "<eos>", "<|begin_of_text|>", "<|end_of_text|>", "<|endoftext|>"}
)
"""Marks where a text begins or ends, which tell nothing."""

_MARK = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<{1,2}/?[A-Za-z_]{1,40}>{1,2}|\[/?[A-Z_]{1,40}\]"  # anywhere in a text
    r"|^[ \t]*+(?:(?:### ?|@@ ?)[A-Z]\w*:?|[A-Z]\w*(?: [A-Z]\w*){0,3}:)",  # at the start of a line
    re.MULTILINE,
)
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_OPENING = re.compile("|".join(map(re.escape, _CLOSING)))
_STRING = re.compile(
    r"""'((?:[^'\\]++|\\.)*+)(?:'|\Z)|"((?:[^"\\]++|\\.)*+)(?:"|\Z)""",
    re.DOTALL,
)
_COMPLAINT = re.compile(r"raise_exception\([^()]*\)")


@cache
def named_templates() -> Mapping[str, NamedTemplate]:
    """All templates of the package, by name."""
    found = {}
    for path in sorted((ASSETS / "templates").glob("*.gotmpl")):
        text = path.read_text("utf-8").removesuffix("\n")
        stops = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=_Stops)
        found[path.stem] = NamedTemplate(path.stem, text, stops.stop)
    return MappingProxyType(found)


def detect(jinja: str | None) -> NamedTemplate | None:
    """The template that writes what a GGUF's Jinja template writes, if it is one of these."""
    if not jinja or len(jinja) > LONGEST or arch.template_capabilities(jinja):
        return None
    written = {mark.strip() for text in _texts(jinja) for mark in _MARK.findall(text)} - _ANYWHERE
    for name, marks in _FAMILIES.items():
        if marks.always <= written <= marks.always | marks.may:
            return named_templates().get(name)
    return None


def is_named(text: str) -> bool:
    """Whether a template is one of the package's, word for word."""
    return any(template.text == text for template in named_templates().values())


def _texts(jinja: str) -> Iterator[str]:
    """What a Jinja template may write as it stands: text outside of tags, and strings in them."""
    place = 0
    while opening := _OPENING.search(jinja, place):
        yield jinja[place : opening.start()]
        end = jinja.find(_CLOSING[opening.group()], opening.end())
        inner = jinja[opening.end() : end if end >= 0 else len(jinja)]
        if opening.group() != "{#":
            for string in _STRING.finditer(_COMPLAINT.sub("", inner)):
                yield (string[1] or string[2] or "").replace("\\n", "\n")
        if end < 0:
            return
        place = end + 2
    yield jinja[place:]
