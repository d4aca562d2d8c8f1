"""Models that share their weights and differ in adapters, on one real engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from ayllus import until
from gguf_maker import CYCLE, make_adapter, make_random_adapter, walk
from msgspec import structs
from talking import Told, ask, engines, model_of, with_pool

from ayllu.chat.request import ChatRequest
from ayllu.errors import BadRequestError
from ayllu.models.model import Model
from ayllu.models.shelf import ASSETS
from ayllu.runner.pool import Pool
from ayllu.types import Json, Message, Options, ToolCallEvent, ToolPieceEvent

MINI = ASSETS / "mini-f16.gguf"
QUESTION = "What does a cow eat?"


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Adapters for mini, each of which changes its answers and its KV cache."""
    folder = tmp_path_factory.mktemp("adapters")
    return tuple(
        make_random_adapter(folder / f"{seed}.gguf", MINI, seed, strength=1.5) for seed in range(2)
    )


def tuned(name: str, *adapters: Path, gguf: Path = MINI, **params: Json) -> Model:
    return structs.replace(model_of(name, gguf), adapters=adapters, params=params)


def talk(text: str = QUESTION) -> ChatRequest:
    """A request whose answer is the most probable one."""
    message = Message(role="user", content=text)
    return ChatRequest(
        messages=(message,), options=Options(temperature=0, num_predict=16), think=False
    )


def joined(told: Told) -> tuple[str, str, str]:
    """All that an answer says."""
    calls = [event for event in told.events if isinstance(event, ToolCallEvent | ToolPieceEvent)]
    names = [structs.replace(one, id="") for one in calls if isinstance(one, ToolPieceEvent)]
    whole = [call.function for one in calls if isinstance(one, ToolCallEvent) for call in one.calls]
    return told.text, told.thinking, f"{names} {whole}"


async def alone(pool: Pool, models: Sequence[Model], request: ChatRequest) -> list[str]:
    """What each model answers on an engine of its own."""
    texts = []
    for model in models:
        texts.append((await ask(pool, model, request)).text)
        await pool.unload(model.digest)
        assert engines() == []
    assert len(set(texts)) == len(texts)
    return texts


def test_models_with_other_adapters_share_an_engine_and_keep_their_answers(
    tmp_path: Path, adapters: tuple[Path, ...]
) -> None:
    one, two = adapters
    models = [
        tuned("b"),
        tuned("o", one),
        tuned("t", two),
        tuned("w", one, two, adapter_scale=[0.5, -1]),
    ]

    async def work(pool: Pool) -> None:
        wanted = await alone(pool, models, talk())
        for model in reversed(models):
            await ask(pool, model, talk("Hi"))
        (engine,) = engines()
        for turn in ([0, 1, 0, 2], [3, 3, 1, 2], [0, 0, 1, 1]):
            for number in turn:
                assert (await ask(pool, models[number], talk())).text == wanted[number]
        turns = [0, 1, 2, 3, 1, 0, 0, 2]
        told = await asyncio.gather(*(ask(pool, models[number], talk()) for number in turns))
        assert [one.text for one in told] == [wanted[number] for number in turns]
        assert engines() == [engine]

    with_pool(tmp_path, work)


def test_every_way_to_an_answer_has_the_models_adapters(
    tmp_path: Path, adapters: tuple[Path, ...]
) -> None:
    models = [tuned("b"), tuned("o", adapters[0])]
    word = {"type": "object", "properties": {"x": {"type": "string", "maxLength": 9}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": word}}
    ways = [
        talk(),
        structs.replace(talk(), template="{{ .Prompt }} <think>", think=True),
        structs.replace(talk(), format=word),
        structs.replace(talk(), format=word, template="{{ .Prompt }}"),
        structs.replace(talk(), tools=(tool,), tool_choice="required"),
        ChatRequest(raw="A cow", options=Options(temperature=0, num_predict=8)),
        structs.replace(talk(), truncate=True, shift=False),
    ]

    async def work(pool: Pool) -> None:
        wanted = []
        for model in models:
            wanted.append([joined(await ask(pool, model, way)) for way in ways])
            await pool.unload(model.digest)
        await ask(pool, models[1], talk("Hi"))
        for number, way in enumerate(ways):
            for turn in (0, 1, 0, 1):
                told = joined(await ask(pool, models[turn], way))
                assert told == wanted[turn][number], (turn, way)
        assert len(engines()) == 1

    with_pool(tmp_path, work, num_parallel="1")


def test_a_prompt_that_was_read_with_one_adapter_is_read_again_for_another(
    tmp_path: Path, adapters: tuple[Path, ...]
) -> None:
    base, other = tuned("b"), tuned("o", adapters[0])

    async def work(pool: Pool) -> None:
        wanted, _ = await alone(pool, [base, other], talk())
        await ask(pool, other, talk())
        await ask(pool, base, talk("Tell me about the sea."))  # puts that prompt out of the slot
        told = await ask(pool, base, talk())
        assert told.text == wanted
        assert told.done.timings.prompt_cached_count < told.done.timings.prompt_eval_count
        again = await ask(pool, base, talk())
        assert again.done.timings.prompt_cached_count >= told.done.timings.prompt_eval_count - 1

    with_pool(tmp_path, work, num_parallel="1")


def test_a_request_says_how_much_of_an_adapter_it_wants(tmp_path: Path, base_gguf: Path) -> None:
    model = tuned("t", make_adapter(tmp_path / "a.gguf", {"c": "x"}), gguf=base_gguf)

    async def said(pool: Pool, *scales: float) -> str:
        options = Options(temperature=0, num_predict=3, adapter_scale=scales or None)
        return (await ask(pool, model, ChatRequest(raw="b", options=options))).text

    async def work(pool: Pool) -> None:
        assert [await said(pool), await said(pool, 0), await said(pool, 1)] == ["cxy", "cde", "cxy"]
        with pytest.raises(
            BadRequestError, match=r"names more scales \(2\) than .* adapters \(1\)"
        ):
            await said(pool, 1, 1)
        with pytest.raises(BadRequestError, match="out of range: at most 100"):
            await said(pool, 1000)
        assert len(engines()) == 1

    with_pool(tmp_path, work)


def test_a_context_shifts_with_an_adapter(tmp_path: Path, base_gguf: Path) -> None:
    model = tuned("t", make_adapter(tmp_path / "a.gguf", {"m": "a"}), gguf=base_gguf)

    async def work(pool: Pool) -> None:
        options = Options(temperature=0, num_predict=150, num_ctx=64)
        told = await asyncio.gather(
            ask(pool, model, ChatRequest(raw="a", options=options)),
            ask(pool, tuned("b", gguf=base_gguf), ChatRequest(raw="a", options=options)),
        )
        assert [one.text for one in told] == [(CYCLE[:13] * 20)[1:151], walk(150, "b")]
        assert len(engines()) == 1

    with_pool(tmp_path, work)


def test_a_draft_guesses_for_models_with_adapters(
    tmp_path: Path, adapters: tuple[Path, ...]
) -> None:
    draft = ASSETS / "mini-draft-f16.gguf"
    models = [tuned("b"), tuned("o", adapters[0])]
    quick = [structs.replace(model, drafts=(draft,)) for model in models]

    async def work(pool: Pool) -> None:
        wanted = await alone(pool, models, talk())
        told = await asyncio.gather(*(ask(pool, quick[n], talk()) for n in (1, 0, 1, 0)))
        assert [one.text for one in told] == [wanted[n] for n in (1, 0, 1, 0)]
        assert len(engines()) == 1

    with_pool(tmp_path, work)


def test_each_model_has_its_own_row_and_its_own_time(tmp_path: Path, base_gguf: Path) -> None:
    base = tuned("b", gguf=base_gguf)
    other = tuned("t", make_adapter(tmp_path / "a.gguf", {"c": "x"}), gguf=base_gguf)

    async def work(pool: Pool) -> None:
        changes: list[int] = []
        pool.subscribe(lambda: changes.append(len(pool.loaded())))
        async with pool.acquire(other, Options(), keep_alive=2):
            pass
        async with pool.acquire(base, Options(), keep_alive=60):
            pass
        (engine,) = engines()
        rows = {row.model.digest[0]: row for row in pool.loaded()}
        assert set(rows) == {"b", "t"}
        assert sum(row.size for row in rows.values()) == pool.held
        assert [len(pool.places_of(model.digest)) for model in (base, other)] == [1, 1]
        await until(lambda: [row.model.digest[0] for row in pool.loaded()] == ["b"])
        assert pool.loaded()[0].size == pool.held
        assert changes == [1, 2, 1]
        assert engines() == [engine]
        async with pool.acquire(other, Options()):
            await pool.unload(base.digest)
            assert [row.model.digest[0] for row in pool.loaded()] == ["t"]
            await pool.unload(other.digest)
        await until(lambda: (pool.loaded(), engines()) == ([], []))

    with_pool(tmp_path, work)


def test_an_adapter_that_the_engine_does_not_have_waits_for_who_is_answered(
    tmp_path: Path, base_gguf: Path
) -> None:
    base = tuned("b", gguf=base_gguf)
    old = tuned("o", make_adapter(tmp_path / "a.gguf", {"c": "x"}), gguf=base_gguf)
    new = tuned("n", make_adapter(tmp_path / "b.gguf", {"c": "k"}), gguf=base_gguf)

    async def said(pool: Pool, model: Model) -> str:
        options = Options(temperature=0, num_predict=2)
        return (await ask(pool, model, ChatRequest(raw="b", options=options))).text

    async def work(pool: Pool) -> None:
        async with pool.acquire(base, Options(), keep_alive=60):
            pass
        assert await said(pool, old) == "cx"
        (engine,) = engines()
        async with pool.acquire(old, Options()):
            waiting = asyncio.create_task(said(pool, new))
            await asyncio.sleep(0.3)
            assert engines() == [engine]
            assert not waiting.done()
        assert await waiting == "ck"
        assert len(engines()) == 1
        assert engines() != [engine]
        rows = {row.model.digest[0]: row for row in pool.loaded()}
        assert set(rows) == {"b", "o", "n"}, "who was there stays"
        assert rows["b"].expires_at < rows["n"].expires_at
        engine = engines()[0]
        assert [await said(pool, model) for model in (old, new, base)] == ["cx", "ck", "cd"]
        assert engines() == [engine]

    with_pool(tmp_path, work)


def test_who_says_otherwise_how_to_be_loaded_has_an_engine_of_its_own(
    tmp_path: Path, base_gguf: Path
) -> None:
    small, large = (tuned(str(n), gguf=base_gguf, num_ctx=n) for n in (64, 128))

    async def work(pool: Pool) -> None:
        for model in (small, large, small):
            options = Options(num_ctx=model.params["num_ctx"])
            async with pool.acquire(model, options) as lease:
                assert lease.context == model.params["num_ctx"]
        assert len(engines()) == 2

    with_pool(tmp_path, work)


def test_embeddings_are_made_with_the_models_own_adapters(
    tmp_path: Path, adapters: tuple[Path, ...]
) -> None:
    one, two = adapters
    models = [tuned("b"), tuned("o", one), tuned("h", one, adapter_scale=[0.5]), tuned("t", two)]

    async def vector(pool: Pool, model: Model) -> list[float]:
        options = Options(adapter_scale=tuple(model.params.get("adapter_scale", ())) or None)
        async with pool.acquire(model, options, embedding=True) as lease:
            return (await lease.client.embed(["a cow"])).data[0].embedding

    async def work(pool: Pool) -> None:
        vectors = [tuple(await vector(pool, model)) for model in models]
        assert len(set(vectors)) == 4
        assert [tuple(await vector(pool, model)) for model in models] == vectors
        zero = structs.replace(models[1], params={"adapter_scale": [0]})
        assert await vector(pool, zero) == pytest.approx(vectors[0], abs=1e-6)

    with_pool(tmp_path, work, max_loaded_models="8")
