"""Models that read a text: by the engine's llama-imatrix, and by programs that misbehave."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import make_successor_model
from gguf_writer import write_gguf
from serving import children

from ayllu.errors import AylluError, BadRequestError, EngineError
from ayllu.gguf.evaluate import (
    TRIES,
    Perplexity,
    choose_context,
    importance,
    memory_needed,
    perplexity,
)
from ayllu.gguf.imatrix import check_matrix
from ayllu.gguf.read import read_header
from ayllu.gguf.tool import Step
from ayllu.models.shelf import ASSETS
from ayllu.models.tools import CALIBRATION
from ayllu.runner.engine import built_folder, tool_path

MINI = ASSETS / "mini-f16.gguf"
CONTEXT, CHUNKS = 64, 5
OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture(scope="module")
def engine() -> Path:
    folder = built_folder()
    if folder is None:
        pytest.skip("the engine is not built here: run `make setup`")
    return folder


def measured(program: Path, text: Path, *, model: Path = MINI, chunks: int = CHUNKS) -> list[Any]:
    async def whole() -> list[Any]:
        items = perplexity(program, model, text, context=CONTEXT, chunks=chunks)
        return [item async for item in items]

    return asyncio.run(whole())


def matrix(program: Path, text: Path, target: Path, *, chunks: int = CHUNKS) -> list[Step]:
    async def whole() -> list[Step]:
        steps = importance(program, MINI, text, target, context=CONTEXT, chunks=chunks)
        return [step async for step in steps]

    return asyncio.run(whole())


def fake(folder: Path, script: str) -> Path:
    """A program in the place of llama-imatrix; it counts its runs in the file `runs`."""
    path = folder / "llama-imatrix"
    path.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{script}\n")
    path.chmod(0o755)
    return path


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def test_the_perplexity_is_llama_perplexitys_to_the_last_digit(engine: Path) -> None:
    *steps, found = measured(tool_path(engine, "llama-imatrix"), CALIBRATION)
    assert steps == [Step(done, CHUNKS) for done in range(CHUNKS + 1)]
    assert found.tokens == CHUNKS * CONTEXT
    command = [str(tool_path(engine, "llama-perplexity")), "--no-escape"]
    command += [
        "-m",
        str(MINI),
        "-f",
        str(CALIBRATION),
        "-c",
        str(CONTEXT),
        "-b",
        str(CONTEXT),
        "--chunks",
        str(CHUNKS),
    ]
    said = None
    for _ in range(50):  # it loses its last words now and then
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        if said := re.search(r"Final estimate: PPL = (\S+) \+/- (\S+)", done.stderr + done.stdout):
            break
    assert said is not None
    assert (found.value, found.error) == (float(said[1]), float(said[2]))


def test_the_last_words_are_never_lost(engine: Path) -> None:
    open_files = len(list(OPEN_FILES.iterdir()))
    program = tool_path(engine, "llama-imatrix")
    found = {measured(program, CALIBRATION, chunks=2)[-1] for _ in range(10)}
    assert len(found) == 1
    assert len(list(OPEN_FILES.iterdir())) == open_files
    assert children() == []


def test_a_model_that_knows_what_comes_next_has_a_low_perplexity(
    engine: Path, base_gguf: Path, tmp_path: Path
) -> None:
    known = tmp_path / "known.txt"
    known.write_text("abcdefghijklmnopqrstuvwxyz" * 20)
    unknown = tmp_path / "unknown.txt"
    unknown.write_text("zebraxylophonequartz" * 20)
    program = tool_path(engine, "llama-imatrix")
    low, high = (measured(program, text, model=base_gguf)[-1].value for text in (known, unknown))
    assert 1 <= low < 4 < 10 * low < high


def test_a_matrix_is_made_of_a_text(engine: Path, tmp_path: Path) -> None:
    target = tmp_path / "matrix"
    steps = matrix(tool_path(engine, "llama-imatrix"), CALIBRATION, target)
    assert steps == [Step(done, CHUNKS) for done in range(CHUNKS + 1)]
    check_matrix(target, read_header(MINI))


def test_the_last_step_is_told_where_the_programs_last_words_are_lost(tmp_path: Path) -> None:
    program = fake(tmp_path, "echo 'over 2 chunks'; echo '[1]4.5,'")
    assert matrix(program, CALIBRATION, tmp_path / "m") == [Step(0, 2), Step(1, 2), Step(2, 2)]


@pytest.mark.parametrize("text", [b"", b"short", b"\\n" * 40, b"\xff\xfe" * 10])
def test_a_text_that_is_too_short_is_told(engine: Path, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "text"
    path.write_bytes(text)
    program = tool_path(engine, "llama-imatrix")
    for work in (lambda: measured(program, path), lambda: matrix(program, path, tmp_path / "m")):
        with pytest.raises(AylluError) as caught:
            work()
        if text:  # an empty file is no text at all to the engine
            sentence = (
                r"the text is too short: it has \d+ tokens, and takes 128 for a context of 64"
            )
            assert re.fullmatch(sentence, caught.value.sentence)


@pytest.mark.parametrize(
    ("script", "error", "sentence", "times"),
    [
        ("exit 1", EngineError, "measuring ended with code 1", TRIES),
        ("echo 'over 3 chunks, [1]5.0,'; exit 1", EngineError, "ended with code 1", 1),
        ("kill -9 $$", EngineError, "measuring was killed, most likely because memory", 1),
        ("kill -SEGV $$", EngineError, r"measuring crashed \(signal 11\)", 1),
        ("echo 'GGML: failed to allocate' >&2; exit 1", EngineError, "memory was too short", 1),
        ("echo 'error loading model: odd'; exit 1", EngineError, "cannot load this model: odd", 1),
        ("exit 0", EngineError, "the engine does not say what it measured", 1),
        (
            "echo 'Unexpected negative standard deviation of log(prob)'",
            BadRequestError,
            "the text is too short to measure a model on",
            1,
        ),
        ("echo 'Final estimate: PPL = nan +/- nan'", BadRequestError, "is no number", 1),
        ("echo 'Final estimate: PPL = 3.5 +/- inf'", BadRequestError, "is no number", 1),
    ],
)
def test_a_program_that_fails_is_told_with_the_reason(
    tmp_path: Path, script: str, error: type[AylluError], sentence: str, times: int
) -> None:
    with pytest.raises(error, match=sentence):
        measured(fake(tmp_path, script), CALIBRATION)
    assert runs(tmp_path) == times


def test_words_that_arrive_in_pieces_are_read_whole(tmp_path: Path) -> None:
    words = "x over 2 chunks\n[1]5.01,[2]4.25,\nFinal estimate: PPL = 4.2512 +/- 0.5012\n"
    pieces = [words[at : at + 5] for at in range(0, len(words), 5)]
    script = "\n".join(f"printf %s '{piece}'; sleep 0.002" for piece in pieces)
    steps = [Step(0, 2), Step(1, 2), Step(2, 2)]
    found = measured(fake(tmp_path, script), CALIBRATION)
    assert found == [*steps, Perplexity(4.2512, 0.5012, 2 * CONTEXT)]


def test_who_gives_up_ends_the_program(tmp_path: Path) -> None:
    script = "echo 'over 9 chunks'; echo '[1]4.5,'; exec sleep 60"

    async def give_up() -> None:
        steps = perplexity(
            fake(tmp_path, script), MINI, CALIBRATION, context=CONTEXT, chunks=CHUNKS
        )
        assert await anext(steps) == Step(0, 9)
        assert len(children()) == 1
        await steps.aclose()
        assert children() == []

    asyncio.run(give_up())


@pytest.mark.parametrize(
    ("trained", "asked", "context"),
    [(0, 0, 512), (256, 0, 256), (512, 0, 512), (4096, 0, 512), (4096, 2048, 2048), (0, 99, 99)],
)
def test_a_chunk_is_as_long_as_the_model_was_trained_for(
    tmp_path: Path, trained: int, asked: int, context: int
) -> None:
    kvs = {"general.architecture": "llama", "llama.context_length": trained}
    header = read_header(write_gguf(tmp_path / "a", kvs, {"t": np.zeros((2, 32), np.float32)}))
    assert choose_context(header, asked) == context


def test_a_longer_chunk_and_a_model_that_writes_nothing_are_refused(tmp_path: Path) -> None:
    header = read_header(make_successor_model(tmp_path / "a", context=512))
    with pytest.raises(BadRequestError, match="513 tokens is longer than the 512 that the model"):
        choose_context(header, 513)
    embeds = make_successor_model(tmp_path / "b", extra={"llama.pooling_type": 1})
    with pytest.raises(BadRequestError, match="the model writes no text"):
        choose_context(read_header(embeds))


def test_the_memory_is_that_of_weights_context_and_probabilities() -> None:
    header = read_header(MINI)
    least = header.file_size + 512 * 2048 * 4
    assert least < memory_needed(header, 512) < memory_needed(header, 1024) < 3 * least
