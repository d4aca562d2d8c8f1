"""The parsers of the output formats that a model's config can name (`models.formats.FORMATS`)."""

from __future__ import annotations

from ayllu.chat.parsers.cohere import COHERE
from ayllu.chat.parsers.deepseek3 import DEEPSEEK3
from ayllu.chat.parsers.gemma import FUNCTIONGEMMA, GEMMA4
from ayllu.chat.parsers.glimmer import GlimmerParser
from ayllu.chat.parsers.glm import GLM
from ayllu.chat.parsers.harmony import HarmonyParser
from ayllu.chat.parsers.ministral import MINISTRAL
from ayllu.chat.parsers.parser import Parser, Setting
from ayllu.chat.parsers.pythonic import LFM2, LFM2_THINKING, OLMO3, OLMO3_THINK
from ayllu.chat.parsers.qwen3 import QWEN3, QWEN3_THINKING
from ayllu.chat.parsers.qwen3_coder import QWEN3_CODER, QWEN35
from ayllu.chat.parsers.tagged import TaggedFormat, TaggedParser
from ayllu.models.formats import FORMATS

__all__ = ["HEADED", "TAGGED", "Parser", "Setting", "make_parser"]

_PASSED_ON = TaggedFormat()

TAGGED = {
    "qwen3": QWEN3,
    "qwen3-thinking": QWEN3_THINKING,
    "qwen3-vl-instruct": QWEN3,
    "qwen3-vl-thinking": QWEN3_THINKING,
    "qwen3-coder": QWEN3_CODER,
    "qwen3.5": QWEN35,
    "ornith": QWEN35,
    "nemotron-3-nano": QWEN35,
    "nemotron-3.5-nano": QWEN35,
    "deepseek3": DEEPSEEK3,
    "cogito": DEEPSEEK3,
    "gemma4": GEMMA4,
    "gemma4-no-thinking": GEMMA4,
    "functiongemma": FUNCTIONGEMMA,
    "glm-4.7": GLM,
    "glm-ocr": _PASSED_ON,
    "laguna": GLM,
    "poolside-v1": GLM,
    "ministral": MINISTRAL,
    "mistral": MINISTRAL,
    "olmo3": OLMO3,
    "olmo3-think": OLMO3_THINK,
    "lfm2": LFM2,
    "lfm2-thinking": LFM2_THINKING,
    "cohere": COHERE,
    "passthrough": _PASSED_ON,
}
"""The formats that are tags alone."""

HEADED = {"harmony": HarmonyParser, "glimmer": GlimmerParser}
"""Those that have messages with headers."""


def make_parser(name: str, setting: Setting) -> Parser:
    """A parser for one answer; `name` is one of FORMATS."""
    known = FORMATS[name]
    thinks = known.always or (known.thinks and setting.think is not False)
    if name in HEADED:
        return HEADED[name](setting, thinks=thinks)
    return TaggedParser(TAGGED[name], setting, thinks=thinks)
