"""Chat templates inside GGUF files that mean harm: they run in the engine, and it alone suffers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import CHATML, make_successor_model
from serving import Serving, serving

LOOP = "{% for a in range(100000) %}" * 3 + "{% endfor %}" * 3
DEPTHS = "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"
NESTED = "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}"


def at_a_word(jinja: str) -> str:
    """A template that does harm when the first message is `boom`, and not while it is loaded."""
    return "{% if messages[0].content == 'boom' %}" + jinja + "{% endif %}" + CHATML


MODELS = {
    "loop": at_a_word(LOOP),
    "depths": at_a_word(DEPTHS),
    "loop-at-once": LOOP + CHATML,
    "nested": NESTED + CHATML,
    "broken": "{% for %}" + CHATML,
    "complains": "{{ raise_exception('never') }}" + CHATML,
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("models")
    home = tmp_path_factory.mktemp("home")
    with serving(home, AYLLU_FIRST_TOKEN_TIMEOUT="5s", AYLLU_LOAD_TIMEOUT="6s") as server:
        server.create("good", chat_gguf)
        for name, jinja in MODELS.items():
            path = make_successor_model(folder / f"{name}.gguf", chat_template=jinja)
            server.create(name, path)
        yield server


def say(server: Serving, model: str, content: str, **fields: Any) -> Any:
    messages = [{"role": "user", "content": content}]
    body = {"model": model, "messages": messages, "stream": False, "options": {"num_predict": 3}}
    return server.post("/api/chat", body | fields)


@pytest.mark.parametrize(
    ("model", "fields", "sentence"),
    [
        ("loop", {}, "the engine stopped answering and was ended"),
        ("loop", {"shift": False}, "the engine stopped answering and was ended"),
        ("loop-at-once", {}, "could not be loaded: the engine said nothing for 6 s of loading"),
        ("depths", {}, "the engine crashed (SIG"),
        ("nested", {}, "could not be loaded: the engine crashed (SIG"),
        ("broken", {}, "the chat template inside the model file cannot be read: Unexpected token"),
        ("complains", {}, "the chat template inside the model file cannot be read: Jinja Exce"),
    ],
)
def test_it_ends_in_one_clear_error_and_others_live_on(
    hostile: Serving, model: str, fields: dict[str, Any], sentence: str
) -> None:
    answer = say(hostile, model, "boom", **fields)
    assert (answer.status, sentence in answer.json["error"]) == (500, True), answer.body
    assert say(hostile, "good", "boom").json["message"]["content"] == "abc"
    if model in {"loop", "depths"}:
        assert say(hostile, model, "hi").status == 200
    assert not [engine for engine in hostile.engines() if engine.cpu_percent(0.2) > 50]
