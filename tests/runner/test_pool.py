"""The pool with real engines: who gets a model when many want several, and what is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from talking import engines, model_of, with_pool

from ayllu.errors import BusyError, EngineError
from ayllu.models.model import Model
from ayllu.runner.place import Runner
from ayllu.runner.pool import Pool
from ayllu.types import Options

NOTHING = Options()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def nothing_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No engine and no socket folder may be left after a test."""
    monkeypatch.setattr("tempfile.tempdir", str(home))
    yield
    assert engines() == []
    assert list(home.glob("ayllu-*")) == []


async def hold(
    pool: Pool, wanted: Model, seconds: float = 0.0, options: Options = NOTHING
) -> Runner:
    """Use a model for a while; returns the runner, which was alive all the time."""
    async with pool.acquire(wanted, options) as lease:
        await asyncio.sleep(seconds)
        assert lease.runner.process.alive
        return lease.runner


def test_requests_share_a_child_and_its_slots(home: Path, base_gguf: Path) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)
        runners = await asyncio.gather(*(hold(pool, a, 0.05) for _ in range(12)))
        assert len(set(runners)) == 1
        assert len(engines()) == 1
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(pool.acquire(a, NOTHING))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await hold(pool, a)

    with_pool(home, work, num_parallel="4")


def test_who_wants_to_know_is_told_when_a_model_comes_and_goes(home: Path, base_gguf: Path) -> None:
    async def work(pool: Pool) -> None:
        told: list[int] = []
        pool.subscribe(lambda: told.append(len(pool.loaded())))
        a = model_of("a", base_gguf)
        await hold(pool, a)
        await hold(pool, a)
        assert told == [1]
        await pool.unload(a.digest)
        assert told == [1, 0]

    with_pool(home, work)


def test_a_second_model_gets_its_turn_although_the_first_is_never_idle(
    home: Path, base_gguf: Path, chat_gguf: Path
) -> None:
    async def work(pool: Pool) -> None:
        a, b = model_of("a", base_gguf), model_of("b", chat_gguf)

        async def keep_busy() -> None:
            while True:
                await hold(pool, a, 0.1)

        busy = [asyncio.create_task(keep_busy()) for _ in range(4)]
        await asyncio.sleep(0.5)
        for _ in range(3):
            await hold(pool, b)
            await asyncio.sleep(0.2)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)

    with_pool(home, work, max_loaded_models="1")


def test_clients_with_other_contexts_take_turns(home: Path, base_gguf: Path) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)

        async def client(context: int) -> None:
            for _ in range(4):
                runner = await hold(pool, a, 0.02, Options(num_ctx=context))
                assert runner.load.context == context

        await asyncio.gather(*(client(context) for context in (64, 128, 64, 256)))

    with_pool(home, work)


def test_a_model_that_expires_is_not_taken_from_who_comes_back(home: Path, base_gguf: Path) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)
        for _ in range(20):
            async with pool.acquire(a, NOTHING, keep_alive=0):
                pass
            await asyncio.sleep(0)
            async with pool.acquire(a, NOTHING, keep_alive=0) as lease:
                await asyncio.sleep(0.01)
                assert lease.runner.process.alive

    with_pool(home, work)


def test_keep_alive_counts_from_the_last_use_and_lasts_until_the_model_goes(
    home: Path, base_gguf: Path
) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)
        async with pool.acquire(a, NOTHING, keep_alive=0.3):
            pass
        assert len(pool.loaded()) == 1
        await asyncio.sleep(1.0)
        assert pool.loaded() == []
        await hold(pool, a)
        await asyncio.sleep(1.0)
        assert len(pool.loaded()) == 1

    with_pool(home, work)


def test_the_longest_unused_idle_model_goes_first(
    home: Path, base_gguf: Path, chat_gguf: Path, tool_gguf: Path
) -> None:
    async def work(pool: Pool) -> None:
        a, b, c = model_of("a", base_gguf), model_of("b", chat_gguf), model_of("c", tool_gguf)
        async with pool.acquire(a, NOTHING):
            await hold(pool, b)
            await hold(pool, c)
            assert {row.model.digest[0] for row in pool.loaded()} == {"a", "c"}

    with_pool(home, work, max_loaded_models="2")


def test_models_together_take_no_more_than_the_owner_gives(
    home: Path, base_gguf: Path, chat_gguf: Path
) -> None:
    async def work(pool: Pool) -> None:
        a, b = model_of("a", base_gguf), model_of("b", chat_gguf)
        first, second = await hold(pool, a), await hold(pool, b)
        assert pool.held == first.size + second.size
        pool.most = pool.held
        await hold(pool, a)
        await hold(pool, b)
        assert len(pool.loaded()) == 2
        pool.most -= 1
        await pool.unload(a.digest)
        await hold(pool, a)
        assert [row.model.digest[0] for row in pool.loaded()] == ["a"]
        async with pool.acquire(a, NOTHING):
            pool.most = 1
            await pool.shrink()
            assert len(pool.loaded()) == 1
        await pool.shrink()
        assert pool.loaded() == []

    with_pool(home, work)


def test_a_dead_or_ended_child_is_replaced_at_once(home: Path, base_gguf: Path) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)
        first = await hold(pool, a)
        os.kill(first.process.pid, signal.SIGKILL)
        await first.process.exited.wait()
        second = await hold(pool, a)
        second.process.kill("it hung")
        third = await hold(pool, a)
        assert len({first, second, third}) == 3

    with_pool(home, work)


def test_giving_up_while_a_hung_model_is_evicted_loses_no_engine(
    home: Path, base_gguf: Path, chat_gguf: Path
) -> None:
    async def work(pool: Pool) -> None:
        a, b = model_of("a", base_gguf), model_of("b", chat_gguf)
        hung = await hold(pool, a)
        os.kill(hung.process.pid, signal.SIGSTOP)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await hold(pool, b)
        await hold(pool, b)
        assert [engine.pid for engine in engines()] != [hung.process.pid]
        assert len(engines()) == 1

    with_pool(home, work, max_loaded_models="1")


def test_giving_up_in_any_phase_of_a_start_leaves_nothing(home: Path, base_gguf: Path) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)
        for turn in range(25):
            task = asyncio.create_task(hold(pool, a))
            await asyncio.sleep(turn * 0.004)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await pool.unload(a.digest)
        await hold(pool, a)
        assert len(engines()) == 1

    with_pool(home, work)


def test_unloading_a_model_that_is_loading_or_in_use_takes_effect_after_it(
    home: Path, base_gguf: Path
) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)
        using = asyncio.create_task(hold(pool, a, 0.5))
        await asyncio.sleep(0.01)
        await pool.unload(a.digest)
        await using
        await asyncio.sleep(0.2)
        assert pool.loaded() == []
        assert (await hold(pool, a)).process.alive
        assert len(pool.loaded()) == 1
        await pool.unload(a.digest)
        assert pool.loaded() == []

    with_pool(home, work)


def test_a_full_queue_is_told(home: Path, base_gguf: Path) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)
        async with pool.acquire(a, NOTHING):
            waiting = asyncio.create_task(hold(pool, a))
            await asyncio.sleep(0.05)
            assert (pool.running, pool.waiting) == (1, 1)
            with pytest.raises(BusyError, match="maximum pending requests"):
                await hold(pool, a)
        await waiting
        assert (pool.running, pool.waiting) == (0, 0)

    with_pool(home, work, num_parallel="1", max_queue="1")


def test_a_model_for_embeddings_is_a_child_of_its_own(home: Path, base_gguf: Path) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)
        async with pool.acquire(a, NOTHING) as one, pool.acquire(a, NOTHING, embedding=True) as two:
            assert one.runner is not two.runner
            embedded = await two.client.embed(["ab", [97, 98]])
            assert embedded.data[0].embedding == pytest.approx(embedded.data[1].embedding)

    with_pool(home, work)


def test_who_needs_no_slot_waits_for_none(home: Path, base_gguf: Path) -> None:
    async def work(pool: Pool) -> None:
        a = model_of("a", base_gguf)
        async with pool.acquire(a, NOTHING) as busy:
            async with pool.acquire(a, NOTHING, slot=False) as lease:
                assert lease.runner is busy.runner
                assert await lease.client.tokenize("ab", special=False) == [97, 98]
            waiting = asyncio.create_task(hold(pool, a))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await waiting

    with_pool(home, work, num_parallel="1")


def test_closing_ends_what_loads_and_what_is_in_use(
    home: Path, base_gguf: Path, chat_gguf: Path
) -> None:
    async def work(pool: Pool) -> None:
        a, b = model_of("a", base_gguf), model_of("b", chat_gguf)
        using = asyncio.create_task(hold(pool, a, 5))
        await asyncio.sleep(0.6)
        loading = asyncio.create_task(hold(pool, b, 5))
        await asyncio.sleep(0.02)
        await pool.close()
        with pytest.raises(BusyError, match="shutting down"):
            await hold(pool, a)
        using.cancel()
        results = await asyncio.gather(using, loading, return_exceptions=True)
        assert isinstance(results[1], EngineError | BusyError)

    with_pool(home, work)
