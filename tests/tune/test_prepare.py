"""Examples made with real engines: what is learned of them, and that they are what is served."""

from __future__ import annotations

import json
import re
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import CHATML, make_successor_model
from msgspec import structs
from preparing import NO_SPLIT, made, make
from small_disk import mounted
from talking import ask, kill, model_of, with_pool

from ayllu.chat.request import ChatRequest
from ayllu.errors import AylluError, BadRequestError, StoreError
from ayllu.gguf.tool import Step
from ayllu.models.model import Model
from ayllu.runner.pool import Pool
from ayllu.trainer.spec import EXAMPLES, Settings
from ayllu.tune.data import read
from ayllu.tune.prepare import Prepared, prepare
from ayllu.types import Message, Options, ToolCall, ToolFunction

LLAMA2 = (
    "{{ if .System }}<<SYS>>{{ .System }}<</SYS>>{{ end }}[INST] {{ .Prompt }} [/INST]"
    " {{ .Response }}<|im_end|>"
)
GO = (
    "{{ if .Tools }}<|im_start|>system\n{{ .Tools }}<|im_end|>\n{{ end }}"
    "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
    "<|im_start|>{{ .Role }}\n{{ .Content }}{{ range .ToolCalls }}"
    "<tool_call>{{ .Function.Name }} {{ .Function.Arguments }}</tool_call>{{ end }}"
    '{{ if or (ne .Role "assistant") (not $last) }}<|im_end|>\n{{ end }}'
    '{{ if and (ne .Role "assistant") $last }}<|im_start|>assistant\n{{ end }}{{ end }}'
)
"""In the manner of the model library's: the last answer is left open."""

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


TWO: dict[str, Any] = {
    "messages": [
        turn("user", "What is 2+2?"),
        turn("assistant", "It is 4."),
        turn("user", "And 3+3?"),
        turn("assistant", "It is 6."),
    ]
}
SHORT = {"messages": TWO["messages"][:2]}
THOUGHT: dict[str, Any] = {
    "messages": [
        turn("user", "What is 2+2?"),
        turn("assistant", "It is 4.", reasoning_content="Add them."),
    ]
}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
TOOLS: dict[str, Any] = {
    "messages": [
        turn("user", "Add 2."),
        turn("assistant", "", tool_calls=[CALL]),
        turn("tool", "4", tool_call_id="c1"),
        turn("assistant", "It is 4."),
    ],
    "tools": [ADD],
}
ACTS = {"prompt": TOOLS["messages"][:1], "completion": TOOLS["messages"][1:], "tools": [ADD]}
PAIRS = [{"prompt": f"Say {word}.", "completion": f"{word}!"} for word in ("one", "two", "three")]


def test_every_answer_of_a_conversation_is_learned_up_to_its_end(
    tmp_path: Path, chat_gguf: Path
) -> None:
    made_ = made(tmp_path, model_of("m", chat_gguf), [TWO, *[SHORT] * 3])
    assert made_.samples[0] == [
        ("<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n", False),
        ("It is 4.<|im_end|>", True),
        ("\n<|im_start|>user\nAnd 3+3?<|im_end|>\n<|im_start|>assistant\n", False),
        ("It is 6.<|im_end|>", True),
    ]
    assert made_.prepared.examples == 4
    assert made_.prepared.shapes == {"messages": 4}
    assert [len(s.segments) for s in made_.prepared.samples] == [4, 2, 2, 2]
    assert sum(s.tokens for s in made_.prepared.samples[0].segments) == len(made_.tokens[0])
    assert made_.steps[-1] == Step(4, 4)


def test_a_model_that_thinks_learns_to_answer_in_both_ways(tmp_path: Path, mini_gguf: Path) -> None:
    made_ = made(tmp_path, model_of("m", mini_gguf), [{"prompt": "Hi", "completion": "Hello!"}] * 2)
    asked = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    (after_thought, answer), plain = made_.samples[:2]
    assert answer == ("Hello!<|im_end|>", True)
    assert plain == [(asked, False), answer]
    thought, is_learned = after_thought
    assert not is_learned
    assert re.fullmatch(rf"{re.escape(asked)}<think>\n\w.*\n</think>\n\n", thought)
    assert (made_.prepared.rows, made_.prepared.examples) == (2, 4)


def test_a_prompt_longer_than_the_context_costs_the_others_nothing(
    tmp_path: Path, mini_gguf: Path
) -> None:
    rows = [*PAIRS, {"prompt": "why " * 3000, "completion": "so"}]
    told = made(tmp_path, model_of("m", mini_gguf), rows).prepared
    assert (told.dropped, told.bad_count, told.examples) == (2, 0, 2 * len(PAIRS))


def test_thoughts_are_learned_and_later_prompts_leave_them_out(
    tmp_path: Path, mini_gguf: Path
) -> None:
    twice = {"messages": [*THOUGHT["messages"], *THOUGHT["messages"]]}
    made_ = made(tmp_path, model_of("m", mini_gguf), [THOUGHT, twice])
    asked = "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
    thought = ("Add them.\n</think>\n\nIt is 4.<|im_end|>", True)
    first = [(f"{asked}<think>\n", False), thought]
    second = [(f"{asked}It is 4.<|im_end|>\n{asked}<think>\n", False), thought]
    assert made_.samples == [first, first, second]
    assert made_.prepared.unthought == 0


def test_thoughts_that_a_template_leaves_out_are_counted(tmp_path: Path, chat_gguf: Path) -> None:
    made_ = made(tmp_path, model_of("m", chat_gguf), [THOUGHT, TWO])
    assert made_.prepared.unthought == 1
    assert made_.samples[0][-1] == ("It is 4.<|im_end|>", True)


def test_calls_and_the_answers_after_them_are_learned(tmp_path: Path, mini_gguf: Path) -> None:
    made_ = made(tmp_path, model_of("m", mini_gguf), [TOOLS, TOOLS])
    (system, _), call, (result, _), said = made_.samples[2]
    assert system.startswith("<|im_start|>system\n# Tools")
    assert '"name": "add", "description": "Adds."' in system
    assert system.endswith("<|im_start|>user\nAdd 2.<|im_end|>\n<|im_start|>assistant\n")
    assert call == (
        '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call><|im_end|>',
        True,
    )
    assert "<tool_response>\n4\n</tool_response>" in result
    assert said == ("It is 4.<|im_end|>", True)


def test_the_tokens_of_a_prompt_are_those_that_the_engine_evaluates(
    tmp_path: Path, mini_gguf: Path, tool_gguf: Path
) -> None:
    call = ToolCall(id="c1", function=ToolFunction("add", {"a": 2}))
    messages = (
        Message(role="system", content="Be brief. ¿Sí? 東京"),
        Message(role="user", content="Add 2."),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="4", tool_name="add", tool_call_id="c1"),
    )
    models = [
        model_of("a", mini_gguf),
        model_of("b", tool_gguf),
        structs.replace(model_of("c", tool_gguf), template=GO, wants_go=True),
    ]

    async def work(pool: Pool) -> None:
        for model in models:
            rows = [TOOLS, TOOLS | {"tools": []}]
            system = messages[0].content
            made_ = await make(pool, model, tmp_path, rows, system=system)
            answer = made_.trained[-1]
            number = len(made_.tokens) - 1
            prompt = made_.tokens[number][: np.flatnonzero(answer)[-1] + 1]
            start = int(np.flatnonzero(np.diff(answer.astype(int)) == 1)[-1]) + 1
            request = ChatRequest(
                messages=messages,
                think=False if model is not models[2] else None,
                want_context=True,
                options=Options(num_predict=1, temperature=0.0),
            )
            told = await ask(pool, model, request)
            timings = told.done.timings
            assert timings.prompt_eval_count == start
            assert list(told.done.context[:start]) == prompt[:start].tolist()

    with_pool(tmp_path, work)


@pytest.mark.parametrize(
    ("template", "asked", "between"),
    [
        (
            GO,
            "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
            "\n<|im_start|>user\nAnd 3+3?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (LLAMA2, "[INST] What is 2+2? [/INST] ", "[INST] And 3+3? [/INST] "),
    ],
)
def test_a_go_template_is_rendered_as_it_is_served(
    tmp_path: Path, base_gguf: Path, template: str, asked: str, between: str
) -> None:
    model = structs.replace(model_of("m", base_gguf), template=template)
    made_ = made(tmp_path, model, [TWO, TWO])
    assert made_.samples[0] == [
        (asked, False),
        ("It is 4.<|im_end|>", True),
        (between, False),
        ("It is 6.<|im_end|>", True),
    ]


def test_without_a_template_a_completion_goes_on_after_its_prompt(
    tmp_path: Path, base_gguf: Path
) -> None:
    made_ = made(tmp_path, model_of("m", base_gguf), PAIRS)
    assert made_.samples[0] == [("Say one.", False), ("one!<|im_end|>", True)]


def test_a_template_that_ends_no_answers_gets_an_end(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    template += "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    gguf = make_successor_model(tmp_path / "m.gguf", chat_template=template)
    made_ = made(tmp_path, model_of("m", gguf), [TWO, TWO])
    first, second = made_.samples[:2]
    assert first == [("user: What is 2+2?\nassistant:", False), (" It is 4.<|im_end|>", True)]
    asked = "user: What is 2+2?\nassistant: It is 4.\nuser: And 3+3?\nassistant:"
    assert second == [(asked, False), (" It is 6.<|im_end|>", True)]


def test_documents_are_cut_into_pieces_that_begin_as_the_model_wants(tmp_path: Path) -> None:
    gguf = make_successor_model(
        tmp_path / "m.gguf", extra={"tokenizer.ggml.add_bos_token": True}, context=64
    )
    text = "abcdefghij" * 20
    exact = made(tmp_path, model_of("x", gguf), "a" * 2 * 63)
    assert [len(tokens) for tokens in exact.tokens] == [64, 64, 2]
    made_ = made(tmp_path, model_of("m", gguf), text)
    assert [len(tokens) for tokens in made_.tokens] == [64, 64, 64, 13]
    assert made_.prepared.context == 64
    head = {int(tokens[0]) for tokens in made_.tokens}
    assert len(head) == 1
    assert [int(trained.sum()) for trained in made_.trained] == [63, 63, 63, 12]
    texts = ["".join(text for text, learned in one if learned) for one in made_.samples]
    assert "".join(texts) == text + "<|im_end|>"
    assert made_.steps[-1] == Step(1, 1)


def test_examples_are_cut_to_the_context_and_the_same_seed_holds_back_the_same(
    tmp_path: Path, chat_gguf: Path
) -> None:
    short = [{"prompt": f"Say {n}.", "completion": f"{n}!"} for n in range(20)]
    long = [{"prompt": "x", "completion": "y" * 100}, {"prompt": "x" * 100, "completion": "y"}]
    settings = Settings(context=60, validation=0.1, seed=3)

    async def work(pool: Pool) -> None:
        model = model_of("m", chat_gguf)
        first = await make(pool, model, tmp_path, [*long, *short, *short[:10]], settings)
        written = (tmp_path / EXAMPLES).read_bytes()
        again = await make(pool, model, tmp_path, [*long, *short, *short[:10]], settings)
        told = first.prepared
        assert (told.truncated, told.dropped, told.examples, told.longest) == (1, 1, 31, 60)
        assert told.answers == 21
        assert told.held == sum(first.held) == 3
        assert not any(first.held[1:11] + first.held[21:])
        assert first.held == again.held
        assert written == (tmp_path / EXAMPLES).read_bytes()
        other = await make(pool, model, tmp_path, short, structs.replace(settings, seed=4))
        assert other.held != (await make(pool, model, tmp_path, short, settings)).held

    with_pool(tmp_path, work)


def test_what_cannot_be_prepared_is_refused_in_a_sentence(tmp_path: Path, chat_gguf: Path) -> None:
    long = [{"prompt": "x" * 600, "completion": "y"}] * 3

    async def refusal(pool: Pool, model: Model, rows: Any, **more: Any) -> str:
        with pytest.raises(AylluError) as caught:
            await make(pool, model, tmp_path, rows, **more)
        assert isinstance(caught.value, BadRequestError)
        return str(caught.value)

    async def work(pool: Pool) -> None:
        model = model_of("m", chat_gguf)
        assert "longer than the 512 that the model was made for" in await refusal(
            pool, model, PAIRS, settings=Settings(context=1000)
        )
        assert "8 at least" in await refusal(pool, model, PAIRS, settings=Settings(context=7))
        assert (
            "3 examples are so long that nothing to learn is within the context of 512 tokens"
            in await refusal(pool, model, long)
        )
        assert "only one example" in await refusal(pool, model, "short")

    with_pool(tmp_path, work)


def test_a_full_disk_is_named(tmp_path: Path, chat_gguf: Path) -> None:
    rows = [{"prompt": f"Say {n}.", "completion": f"{n}!" * 50} for n in range(50)]

    async def work(pool: Pool) -> None:
        with mounted(tmp_path / "disk", "size=16k") as disk:
            path = tmp_path / "rows.jsonl"
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
            data = await read({"rows.jsonl": path}, tmp_path)
            with pytest.raises(StoreError, match="there is no space left in"):
                async for _ in prepare(pool, model_of("m", chat_gguf), data, NO_SPLIT, disk):
                    pass
            assert not list(disk.iterdir())

    with_pool(tmp_path, work)


STERN = (
    "{% for m in messages %}{% if '!!' in m.content %}"
    "{{ raise_exception('nobody shouts here') }}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_rows_that_a_template_refuses_are_bad(tmp_path: Path) -> None:
    gguf = make_successor_model(tmp_path / "m.gguf", chat_template=STERN)
    model = model_of("m", gguf)
    rows = [PAIRS[0], PAIRS[1] | {"completion": "two!!"}, {"prompt": 1}, PAIRS[2], ACTS]

    async def work(pool: Pool) -> None:
        made_ = await make(pool, model, tmp_path, rows)
        told = made_.prepared
        assert (told.examples, told.rows, told.bad_count) == (2, 4, 3)
        assert [row.line for row in told.bad] == [3, 2, 5]
        assert "nobody shouts here" in told.bad[1].reason
        assert told.bad[2].reason == "the model's template leaves out the call of message 2"
        with pytest.raises(BadRequestError, match=r"the data has bad rows \(3\): rows"):
            await make(pool, model, tmp_path, rows, strict=True)
        with pytest.raises(BadRequestError, match=r"there is nothing to train on: rows"):
            await make(pool, model, tmp_path, PAIRS, system="Be brief!!")

    with_pool(tmp_path, work)


def test_a_template_that_looks_for_a_word_is_asked_each_time(tmp_path: Path) -> None:
    template = CHATML.replace("m.content", "('fruit' if 'banana' in m.content else m.content)")
    gguf = make_successor_model(tmp_path / "m.gguf", chat_template=template)
    rows = [{"prompt": f"a {n} banana"[: 8 - 6 * (n % 2)], "completion": f"{n}"} for n in range(8)]
    rows[1] = {"prompt": "one banana", "completion": "1"}
    made_ = made(tmp_path, model_of("m", gguf), rows)
    assert made_.samples[1][0][0].startswith("<|im_start|>user\nfruit<|im_end|>")
    assert made_.prepared.examples == 8


def test_an_engine_that_dies_is_started_again(tmp_path: Path, tool_gguf: Path) -> None:
    rows = [{"prompt": f"Say {n}.", "completion": f"{n}!"} for n in range(100)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    async def work(pool: Pool) -> None:
        data = await read({"rows.jsonl": path}, tmp_path)
        model = model_of("m", tool_gguf)
        last: Step | Prepared | None = None
        async with aclosing(prepare(pool, model, data, NO_SPLIT, tmp_path)) as items:
            async for item in items:
                if last is None:
                    kill()
                last = item
        assert isinstance(last, Prepared)
        assert last.examples >= 100

    with_pool(tmp_path, work)


def test_a_piece_with_nothing_to_learn_is_none(tmp_path: Path, base_gguf: Path) -> None:
    made_ = made(tmp_path, model_of("m", base_gguf), "a" * 128, Settings(context=64, validation=0))
    assert [len(tokens) for tokens in made_.tokens] == [64, 64]
    assert (made_.prepared.dropped, made_.prepared.truncated) == (0, 0)
