"""Which of a model's two templates is used."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from gguf_maker import CHATML, CHATML_TOOLS_THINK, make_successor_model

from ayllu.models.model import Model
from ayllu.models.named_templates import named_templates
from ayllu.models.templates import prefers_jinja
from ayllu.types import ModelConfig, ModelName

PLAIN = "{{ range .Messages }}{{ .Content }}{{ end }}"
THINKS = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}"
TOOLS = "{{ .Tools }}{{ range .Messages }}{{ .Content }}{{ end }}"
SHOWS = (
    '{{ .Tools }}{{ range .Messages }}{{ if eq .Role "tool" }}{{ .Content }}{{ end }}'
    "{{ range .ToolCalls }}{{ .Function.Name }}{{ end }}{{ end }}"
)
FILLS = "{{ .Prompt }}{{ .Suffix }}"
J_PLAIN = "{{ messages[0].content }}"
J_TOOLS = J_PLAIN + "{{ tools }}"
J_SHOWS = J_TOOLS + "{% if m.role == 'tool' %}{{ m.tool_calls }}{% endif %}"
J_THINKS = J_PLAIN + "<think></think>"


@pytest.mark.parametrize(
    ("text", "jinja", "prefers"),
    [
        (PLAIN, J_PLAIN, False),
        (PLAIN, J_TOOLS, True),
        (PLAIN, J_THINKS, True),
        (THINKS, J_TOOLS, False),
        (THINKS, J_TOOLS + J_THINKS, True),
        (TOOLS, J_TOOLS, False),
        (TOOLS, J_SHOWS, True),
        (SHOWS, J_SHOWS, False),
        (SHOWS, J_TOOLS + J_THINKS, False),
        (SHOWS, J_SHOWS + J_THINKS, True),
        (TOOLS, J_PLAIN, False),
        (FILLS, J_TOOLS, False),
        ("{{ if", J_PLAIN, False),
        (named_templates()["chatml"].text, J_PLAIN, True),
    ],
)
def test_jinja_is_used_where_it_can_do_more_and_nothing_less(
    text: str, jinja: str, prefers: bool
) -> None:
    assert prefers_jinja(text, jinja, fills=False) is prefers


def test_a_vocabulary_that_fills_in_needs_no_template_for_it() -> None:
    assert prefers_jinja(FILLS, J_TOOLS, fills=True)
    assert not prefers_jinja(FILLS, J_PLAIN, fills=True)


@pytest.mark.parametrize(
    ("jinja", "template", "config", "used"),
    [
        (CHATML_TOOLS_THINK, PLAIN, ModelConfig(), None),
        (CHATML, PLAIN, ModelConfig(), PLAIN),
        (None, PLAIN, ModelConfig(), PLAIN),
        (CHATML, None, ModelConfig(), None),
        (CHATML_TOOLS_THINK, PLAIN, ModelConfig(parser="qwen3"), PLAIN),
        (CHATML_TOOLS_THINK, PLAIN, ModelConfig(renderer="qwen3.5"), PLAIN),
        (CHATML_TOOLS_THINK, "{{ .Prompt }}", ModelConfig(renderer="qwen3.5"), None),
        (
            CHATML_TOOLS_THINK,
            "<|start|><|end|>",
            ModelConfig(model_family="gptoss"),
            "<|start|><|end|>",
        ),
    ],
)
def test_a_model_has_one_template_in_use(
    tmp_path: Path, jinja: str | None, template: str | None, config: ModelConfig, used: str | None
) -> None:
    path = make_successor_model(tmp_path / "x.gguf", chat_template=jinja)
    name = ModelName("h", "n", "m", "t")
    model = Model(name=name, digest="", path=path, template=template, config=config)
    assert model.go_template == used
    always = msgspec.structs.replace(model, wants_go=True)
    never = msgspec.structs.replace(model, wants_go=False)
    held = config.renderer and template == "{{ .Prompt }}"
    assert always.go_template == (None if held else template)
    assert never.go_template == (template if jinja is None else None)
