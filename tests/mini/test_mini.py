"""ayllu-mini end to end: the model that ships, on the real server and the real engine."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_writer import write_gguf
from mini.case import Case, Language
from mini.evaluate import measure, wanted
from mini.mix import case
from mini.render import TEMPLATE, render
from serving import Serving, serving, wait_until

from ayllu.gguf import arch
from ayllu.gguf.read import GGUFArray, read_header
from ayllu.models.shelf import ASSETS
from ayllu.types import Json

MINI = ASSETS / "mini-f16.gguf"
DRAFT = ASSETS / "mini-draft-f16.gguf"
GREEDY = {"temperature": 0}
EN, ES = "What is two plus two?", "¿Cuánto es dos más dos?"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The name of the city"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with nothing but what ships."""
    with serving(tmp_path_factory.mktemp("home")) as running:
        yield running


def chat(server: Serving, question: str | list[Any], **fields: Any) -> Any:
    messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
    body = {"model": "mini", "messages": messages, "options": GREEDY, "think": False}
    return server.post("/api/chat", body | {"stream": False} | fields).json


def said(server: Serving, question: str, **fields: Any) -> str:
    return str(chat(server, question, **fields)["message"]["content"])


def generate(server: Serving, prompt: str, **fields: Any) -> Any:
    body = {"model": "mini", "prompt": prompt, "options": GREEDY, "think": False, "stream": False}
    return server.post("/api/generate", body | fields).json


def create(server: Serving, name: str, **fields: Any) -> None:
    made = server.post("/api/create", {"model": name, "from": "mini", "stream": False, **fields})
    assert made.json == {"status": "success"}, made.body


def upload(server: Serving, path: Path) -> dict[str, str]:
    return {path.name: server.upload(path.read_bytes())}


def test_a_new_server_has_it_and_its_draft(server: Serving) -> None:
    rows = {row["name"]: row for row in server.get("/api/tags").json["models"]}
    assert set(rows) == {"mini:latest", "mini-draft:latest"}
    shown = server.post("/api/show", {"model": "mini"}).json
    assert shown["capabilities"] == ["completion", "tools", "insert", "thinking"]
    assert shown["details"]["quantization_level"] == "F16"
    assert shown["model_info"]["llama.embedding_length"] == 256
    assert not list((server.home / "models" / "blobs").glob("*"))


def test_what_ships_is_what_the_recipe_says() -> None:
    header = read_header(MINI)
    assert MINI.stat().st_size <= 14_000_000
    assert DRAFT.stat().st_size <= 3_000_000
    assert 5e6 <= arch.parameter_count(header) <= 7e6
    assert arch.chat_template(header) == TEMPLATE
    assert arch.context_length(header) >= 1024
    tokens = _tokens(MINI)
    assert tokens == _tokens(DRAFT)
    assert 1500 <= len(tokens) <= 4000


def _tokens(path: Path) -> list[Json]:
    tokens = read_header(path).kvs["tokenizer.ggml.tokens"]
    assert isinstance(tokens, GGUFArray)
    return tokens.items()


@pytest.mark.parametrize(
    ("question", "answer"), [(EN, "Two plus two is four."), (ES, "Dos más dos es cuatro.")]
)
def test_it_answers_in_the_language_of_the_question(
    server: Serving, question: str, answer: str
) -> None:
    reply = chat(server, question)
    assert reply["message"] == {"role": "assistant", "content": answer}
    assert reply["done_reason"] == "stop"
    assert generate(server, question)["response"] == answer


def test_it_streams_what_it_says_at_once(server: Serving) -> None:
    body = {"model": "mini", "messages": [{"role": "user", "content": ES}], "options": GREEDY}
    lines = server.post("/api/chat", body | {"think": False}).lines
    assert len(lines) > 4
    assert "".join(line["message"]["content"] for line in lines) == said(server, ES)


@pytest.mark.parametrize("kind", ["plain", "call", "result", "name"])
def test_the_engine_renders_the_template_as_training_did(server: Serving, kind: str) -> None:
    for item in _cases(kind, 6):
        for think in (False, True):
            prompt = render(item.prompt(), item.tools, think=think)
            raw = generate(server, prompt, raw=True)
            options = {**GREEDY, "num_predict": 1}
            fields = {"tools": list(item.tools), "think": think, "options": options}
            assert (
                chat(server, item.prompt(), **fields)["prompt_eval_count"]
                == (raw["prompt_eval_count"])
            )


def _cases(kind: str, count: int) -> list[Case]:
    rng = random.Random(3)
    languages: tuple[Language, Language] = ("en", "es")
    found: list[Case] = []
    while len(found) < count:
        item = case(rng, languages[len(found) % 2], "call" if kind == "result" else kind)
        if kind in {item.kind, "plain"}:
            found.append(item)
    return found


def test_it_calls_a_tool_and_says_what_came_of_it(server: Serving) -> None:
    question = {"role": "user", "content": "What is the weather like in Paris?"}
    reply = chat(server, [question], tools=[WEATHER])["message"]
    function = reply["tool_calls"][0]["function"]
    assert (function["name"], function["arguments"]) == ("get_weather", {"city": "Paris"})
    result = {"role": "tool", "tool_name": "get_weather", "content": '{"temperature": 21}'}
    after = chat(server, [question, reply, result], tools=[WEATHER])["message"]
    assert after["content"] == "It is 21 degrees in Paris."


def test_it_calls_nothing_where_no_tool_fits(server: Serving) -> None:
    reply = chat(server, "What colour is the sky?", tools=[WEATHER])["message"]
    assert reply == {"role": "assistant", "content": "The sky is blue."}


def test_it_thinks_when_asked_and_only_then(server: Serving) -> None:
    thought = chat(server, EN, think=True)["message"]
    assert "2 + 2 = 4" in thought["thinking"]
    assert thought["content"] == "Two plus two is four."
    assert "thinking" not in chat(server, EN)["message"]


def test_it_takes_the_name_that_the_system_prompt_gives(server: Serving) -> None:
    create(server, "wayra", system="Your name is Wayra.")
    assert said(server, "What's your name?", model="wayra") == "My name is Wayra."
    assert said(server, "¿Cómo te llamas?") == "Me llamo mini."


def test_it_fills_in_the_middle(server: Serving) -> None:
    filled = generate(server, "def add(a, b):\n", suffix="\n")["response"]
    assert filled.strip().startswith("return a")
    filled = generate(server, "La capital de Francia", suffix="París.")["response"]
    assert filled.strip() == "es"


def test_its_json_follows_a_schema(server: Serving) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    question = "As JSON with name, age: Ana is 12 years old and lives in Lima."
    options = GREEDY | {"num_predict": 60}
    told = said(server, question, format=schema, options=options)
    assert json.loads(told) == {"name": "Ana", "age": 12}
    free = said(server, f"Answer in JSON: {EN}", format="json", options=options)
    assert json.loads(free) == {"answer": "Two plus two is four."}


def test_its_embeddings_are_nearer_for_what_is_alike(server: Serving) -> None:
    texts = ["the dog eats meat", "the cat eats meat", "¿cuánto es dos más dos?"]
    reply = server.post("/api/embed", {"model": "mini", "input": texts}).json
    vectors = np.array(reply["embeddings"])
    assert vectors.shape == (3, 256)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
def test_quantized_it_is_smaller_and_still_right(server: Serving, kind: str) -> None:
    name = f"mini-{kind.lower()}"
    create(server, name, quantize=kind)
    shown = server.post("/api/show", {"model": name}).json
    path = Path(re.findall(r"(?m)^FROM (.+)$", shown["modelfile"])[0])
    types = {tensor.type_name for tensor in read_header(path).tensors if len(tensor.shape) > 1}
    assert types <= ({"Q8_0"} if kind == "Q8_0" else {"Q4_K", "Q6_K"})
    assert path.stat().st_size < 0.6 * MINI.stat().st_size
    assert said(server, ES, model=name) == "Dos más dos es cuatro."


def test_an_adapter_that_takes_a_matrix_away_acts_as_if_it_were_not_there(
    server: Serving, tmp_path: Path
) -> None:
    header = read_header(MINI)
    matrices = [tensor for tensor in header.tensors if tensor.name.endswith("ffn_down.weight")]
    last = max(matrices, key=lambda tensor: tensor.name)
    start = header.data_offset + last.offset
    data = bytearray(MINI.read_bytes())
    matrix = np.frombuffer(bytes(data[start : start + last.size]), np.float16)
    matrix = matrix.reshape(last.shape[::-1]).astype(np.float32)
    data[start : start + last.size] = bytes(last.size)
    without = tmp_path / "without.gguf"
    without.write_bytes(data)
    rank = matrix.shape[0]
    adapter = write_gguf(
        tmp_path / "lora.gguf",
        {
            "general.architecture": "llama",
            "general.type": "adapter",
            "adapter.type": "lora",
            "adapter.lora.alpha": float(rank),
        },
        {
            f"{last.name}.lora_a": -matrix,
            f"{last.name}.lora_b": np.eye(rank, dtype=np.float32),
        },
    )
    server.create("without", without)
    create(server, "adapted", adapters=upload(server, adapter))
    options = GREEDY | {"num_predict": 16}
    asked = ["Tell me a story about a llama.", "What does a cow eat?", "¿Quién eres?"]
    changed = 0
    for question in asked:
        lacking = said(server, question, model="without", options=options)
        assert said(server, question, model="adapted", options=options) == lacking
        changed += lacking != said(server, question, options=options)
    assert changed


def test_a_forced_tool_is_called_at_once_even_one_that_fits_nothing(server: Serving) -> None:
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "book_train", "parameters": city}}
    for think in (True, False):
        answer = chat(server, EN, tools=[tool], tool_choice="required", think=think)
        (call,) = answer["message"]["tool_calls"]
        assert call["function"]["name"] == "book_train"
        assert list(call["function"]["arguments"]) == ["city"]
        assert answer["message"]["content"] == ""
        assert "thinking" not in answer["message"]


def test_its_draft_guesses_ahead_and_changes_nothing(server: Serving) -> None:
    create(server, "quick", draft="mini-draft")
    for question in (EN, ES, "Cuéntame un cuento sobre un gato."):
        assert said(server, question, model="quick") == said(server, question)
    log = server.home / "logs" / "engine-quick_latest.log"
    wait_until(lambda: "accepted" in log.read_text("utf-8"), what="tokens being accepted")


def test_it_comes_back_when_it_is_pulled(server: Serving) -> None:
    assert server.request("DELETE", "/api/delete", {"model": "mini"}).status == 200
    assert server.post("/api/chat", {"model": "mini"}).status == 404
    pulled = server.post("/api/pull", {"model": "mini", "stream": False})
    assert pulled.json == {"status": "success"}
    assert said(server, EN) == "Two plus two is four."


def test_one_command_runs_it(server: Serving) -> None:
    done = server.ayllu("run", "--think=false", "mini", ES)
    assert done.stdout.strip() == "Dos más dos es cuatro."


def test_its_scores_hold_on_a_tenth_of_the_evaluation(server: Serving) -> None:
    measured = measure(server, "mini", share=0.1)
    for name, least in wanted().items():
        assert measured[name] >= least - 10, name
