"""The formats by name."""

from __future__ import annotations

import pytest
from chat.parsers.reading import read, say

from ayllu.chat.parsers import HEADED, TAGGED, Setting, make_parser
from ayllu.models.formats import FORMATS, format_capabilities, parser_name
from ayllu.types import ModelConfig


def test_every_format_has_a_parser() -> None:
    assert {*TAGGED, *HEADED} == set(FORMATS)
    for name, known in FORMATS.items():
        if name in TAGGED:
            assert bool(TAGGED[name].calls) == known.tools, name
            assert bool(TAGGED[name].thinking) >= known.thinks, name


@pytest.mark.parametrize("name", ["passthrough", "glm-ocr"])
def test_some_pass_everything_on(name: str) -> None:
    text = "<think>x</think> <tool_call>{}</tool_call>\n"
    assert read(name, list(text)) == [say(text)]
    assert make_parser(name, Setting()).tags == ()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_answers_own_text_is_found(name: str) -> None:
    """The place where a form is to begin; with headers it is behind one."""
    headers = {"harmony": "<|channel|>final<|message|>", "glimmer": " to=user<|message|>"}
    before = headers.get(name, "")
    parser = make_parser(name, Setting(think=False))
    assert list(parser.feed(before)) == []
    assert parser.text_start is None
    assert [*parser.feed("{"), *parser.finish()]
    assert parser.text_start == len(before)


@pytest.mark.parametrize(
    ("config", "template", "name"),
    [
        (ModelConfig(parser="qwen3"), None, "qwen3"),
        (ModelConfig(parser="no such"), None, ""),
        (ModelConfig(), "<|start|><|end|>", ""),
        (ModelConfig(model_family="gptoss"), "<|start|>x<|end|>", "harmony"),
        (ModelConfig(model_family="gpt-oss"), "<|start|>", ""),
        (ModelConfig(model_family="gptoss"), None, ""),
    ],
)
def test_the_config_names_the_format(config: ModelConfig, template: str | None, name: str) -> None:
    assert parser_name(config, template) == name


def test_a_format_has_capabilities() -> None:
    assert format_capabilities("qwen3") == {"tools"}
    assert format_capabilities("gemma4") == {"tools", "thinking"}
    assert format_capabilities("olmo3-think") == {"thinking"}
    assert format_capabilities("") == set()
