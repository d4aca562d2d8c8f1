"""Quantizing by the engine's own llama-quantize, and by small programs that misbehave like it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from gguf_maker import WIDE, make_successor_model
from gguf_writer import Raw, write_gguf
from serving import children
from small_disk import mounted

from ayllu.errors import AylluError, BadRequestError, EngineError, EngineMissingError
from ayllu.gguf.arch import file_type
from ayllu.gguf.quantize import needs_quantizing, parse_quantization, quantize
from ayllu.gguf.read import read_header
from ayllu.gguf.tables import FILE_TYPES, QUANTIZATIONS
from ayllu.gguf.tool import Step
from ayllu.runner.engine import built_folder, tool_path


@pytest.fixture(scope="module")
def program() -> Path:
    folder = built_folder()
    if folder is None:
        pytest.skip("the engine is not built here: run `make setup`")
    return tool_path(folder, "llama-quantize")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "wide.gguf"
    return make_successor_model(path, replies=WIDE, dtype=np.float16)


def run(program: Path, source: Path, target: Path, kind: str, threads: int = 1) -> list[Step]:
    async def whole() -> list[Step]:
        steps = quantize(program, source, target, kind, threads=threads)
        return [step async for step in steps]

    return asyncio.run(whole())


def fake(folder: Path, script: str) -> Path:
    """A program in the place of llama-quantize: `$1` is the source, `$2` the target."""
    path = folder / "llama-quantize"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_all_types_of_the_engine_are_accepted(program: Path) -> None:
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    known = dict(re.findall(r"^ +(\d+) +or +(\w+) ", done.stdout, re.MULTILINE)[::-1])
    names = {name for _, name in re.findall(r"^ +(\d+) +or +(\w+) ", done.stdout, re.MULTILINE)}
    assert names == set(QUANTIZATIONS)
    for number, name in known.items():
        assert QUANTIZATIONS[name] == FILE_TYPES[int(number)]


@pytest.mark.parametrize(
    ("text", "name"), [("q4_K_M", "Q4_K_M"), ("q8_0", "Q8_0"), ("Q4_k", "Q4_K"), ("bf16", "BF16")]
)
def test_types_are_named_in_any_case(text: str, name: str) -> None:
    assert parse_quantization(text) == name


@pytest.mark.parametrize("text", ["", "q4", "15", "COPY", "Q4_K_M ", "Q4_K_M\0", "--pure", "ü"])
def test_other_types_are_refused_with_a_list_of_those_there_are(text: str) -> None:
    with pytest.raises(BadRequestError, match=r"- supported types are F32, F16, .*Q4_K_M"):
        parse_quantization(text)


@pytest.mark.parametrize(
    ("kind", "tensor"), [("Q4_K_M", "Q4_K"), ("Q8_0", "Q8_0"), ("IQ4_XS", "IQ4_XS"), ("F32", "F32")]
)
def test_a_model_is_quantized_and_says_so(
    program: Path, gguf: Path, tmp_path: Path, kind: str, tensor: str
) -> None:
    target = tmp_path / "out"
    steps = run(program, gguf, target, kind)
    before, after = read_header(gguf), read_header(target)
    assert file_type(after) == kind
    types = {item.name: item.type_name for item in after.tensors}
    assert types["blk.0.attn_q.weight"] == tensor
    assert types["output_norm.weight"] == "F32"
    assert [step.completed for step in steps] == sorted(step.completed for step in steps)
    assert {step.total for step in steps} == {sum(tensor.size for tensor in before.tensors)}
    assert (steps[0].completed, steps[-1].completed) == (0, steps[-1].total)
    assert len(steps) == len(before.tensors) + 1


@pytest.mark.parametrize(
    ("now", "kind", "needed"),
    [
        (0, "Q4_K", True),
        (1, "q4_0", True),
        (32, "F16", True),
        (1, "F16", False),
        (15, "Q8_0", "Q4_K_M already"),
        (1000, "Q8_0", "of a type that is not known here"),
    ],
)
def test_only_what_is_not_quantized_may_be(
    tmp_path: Path, now: int, kind: str, needed: bool | str
) -> None:
    kvs = {"general.architecture": "llama", "general.file_type": now}
    header = read_header(write_gguf(tmp_path / "a", kvs, {"t": np.zeros((2, 32), np.float32)}))
    if isinstance(needed, str):
        with pytest.raises(BadRequestError) as caught:
            needs_quantizing(header, kind)
        assert caught.value.sentence == (
            "quantization is only supported for F16, BF16 and F32 models, and this one is "
            f"{needed}: quantize its F16 original instead, or allow it with `requantize`, which "
            "loses more"
        )
    else:
        assert needs_quantizing(header, parse_quantization(kind)) is needed
    assert needs_quantizing(header, parse_quantization(kind), again=True) is (needed is not False)


def quantized_in_part(path: Path) -> Path:
    """A file that says it is F16 and holds a tensor that is quantized already."""
    extra = make_successor_model(path.with_suffix(".f16"), dtype=np.float16)
    header, data = read_header(extra), extra.read_bytes()
    tensors: dict[str, Any] = {}
    for info in header.tensors:
        start = header.data_offset + info.offset
        tensors[info.name] = Raw(info.type_id, info.shape, data[start : start + info.size])
    embeddings = tensors["token_embd.weight"].shape
    tensors["token_embd.weight"] = Raw(8, embeddings, bytes(embeddings[0] // 32 * 34 * 262))
    kvs = {name: value for name, value in header.kvs.items() if not hasattr(value, "items")}
    return write_gguf(path, kvs, tensors)


def unknown_architecture(path: Path) -> Path:
    extra = {"general.architecture": "nova", "nova.block_count": 1}
    return make_successor_model(path, extra=extra, dtype=np.float16)


def test_what_the_engine_refuses_is_told_in_a_sentence(
    program: Path, gguf: Path, tmp_path: Path
) -> None:
    cases: list[tuple[Path, str, type[AylluError], str]] = [
        (gguf, "IQ2_XXS", BadRequestError, "IQ2_XXS needs an importance matrix: give one with"),
        (
            quantized_in_part(tmp_path / "part"),
            "Q4_0",
            BadRequestError,
            "F16, BF16 and F32 models, and this one has tensors in Q8_0",
        ),
        (
            unknown_architecture(tmp_path / "nova"),
            "Q4_0",
            EngineError,
            "this engine does not know the architecture 'nova'",
        ),
    ]
    for source, kind, error, sentence in cases:
        with pytest.raises(error) as caught:
            run(program, source, tmp_path / "out", kind)
        assert sentence in caught.value.sentence


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("kill -9 $$", "quantizing was killed, most likely because memory ran out"),
        ("kill -ILL $$", "llama-quantize met an instruction that this CPU cannot run.*make engine"),
        ("exit 3", "quantizing ended with code 3"),
        ("echo 'failed to quantize: std::bad_alloc' >&2; exit 1", "memory was too short"),
        ("echo 'x: failed to quantize: odd' >&2; exit 1", "cannot make Q8_0 of this model: odd"),
        ("echo 'iostream error' >&2; exit 1", "quantizing ended with code 1"),
    ],
)
def test_a_program_that_fails_is_told_with_the_reason(
    gguf: Path, tmp_path: Path, script: str, sentence: str
) -> None:
    with pytest.raises(EngineError, match=sentence):
        run(fake(tmp_path, script), gguf, tmp_path / "out", "Q8_0")


def test_the_program_gets_none_of_our_keys(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AYLLU_API_KEYS", "secret")
    with pytest.raises(EngineError, match=r"of this model: keys= path=/"):
        run(
            fake(tmp_path, 'echo "failed to quantize: keys=$AYLLU_API_KEYS path=$PATH"; exit 1'),
            gguf,
            tmp_path / "out",
            "Q8_0",
        )


def test_a_program_that_is_not_there_is_told_with_the_remedy(gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineMissingError, match=r"cannot be run .*: run `make setup`"):
        run(tmp_path / "llama-quantize", gguf, tmp_path / "out", "Q8_0")


def test_a_full_disk_is_an_error_of_the_disk(program: Path, gguf: Path, tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "disk", "size=200k") as disk,
        pytest.raises(OSError, match="No space left"),
    ):
        run(program, gguf, disk / "out", "Q8_0")


def test_lines_that_arrive_in_pieces_are_one_step_each(gguf: Path, tmp_path: Path) -> None:
    names = [tensor.name for tensor in read_header(gguf).tensors][:3]
    lines = "".join(
        f"[ {n}/ 3] {name}   - [ 1, 1], type = f16, size\n" for n, name in enumerate(names)
    )
    pieces = [lines[at : at + 7] for at in range(0, len(lines), 7)]
    script = "\n".join(f"printf %s '{piece}'; sleep 0.002" for piece in pieces)
    steps = run(fake(tmp_path, script), gguf, tmp_path / "out", "Q8_0")
    assert len(steps) == 3 + 1


def test_who_gives_up_ends_the_program(gguf: Path, tmp_path: Path) -> None:
    script = "echo '[ 1/ 9] output.weight  - [ 1 ]'; exec sleep 60"

    async def give_up() -> None:
        steps = quantize(fake(tmp_path, script), gguf, tmp_path / "out", "Q8_0")
        assert (await anext(steps)).completed == 0
        assert len(children()) == 1
        await steps.aclose()
        assert children() == []

    async def cancel() -> None:
        async def consume() -> None:
            async for _ in quantize(fake(tmp_path, script), gguf, tmp_path / "out", "Q8_0"):
                pass

        task = asyncio.create_task(consume())
        async with asyncio.timeout(5):
            while not children():  # noqa: ASYNC110 - nobody tells when a process appears
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == []

    asyncio.run(give_up())
    asyncio.run(cancel())


def test_who_gives_up_on_a_program_that_nobody_listens_to_waits_for_nothing(
    gguf: Path, tmp_path: Path
) -> None:
    words = "echo '[ 1/ 9] output.weight  - [ 1 ]'"
    script = f"{words}; head -c 1000000 /dev/zero | tr '\\0' x; exec sleep 60"

    async def give_up() -> None:
        steps = quantize(fake(tmp_path, script), gguf, tmp_path / "out", "Q8_0")
        assert (await anext(steps)).completed == 0
        await asyncio.sleep(0.3)  # the pipe and its reader are full by now
        async with asyncio.timeout(5):
            await steps.aclose()
        assert children() == []

    asyncio.run(give_up())


def test_the_program_ends_when_its_server_is_killed(gguf: Path, tmp_path: Path) -> None:
    """Its next line finds no reader."""
    script = "echo $$ > pid; while :; do echo '[ 1/ 9] output.weight  - [ 1 ]'; sleep 0.05; done"
    code = (
        "import asyncio, os, sys\nfrom pathlib import Path\n"
        "from ayllu.gguf.quantize import quantize\n"
        "async def main():\n"
        "    async for step in quantize(*map(Path, sys.argv[1:]), 'Q8_0'):\n"
        "        if step.completed: os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())"
    )
    command: list[str | Path] = [sys.executable, "-c", code]
    command += [fake(tmp_path, script), gguf, tmp_path / "out"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == -9
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(pid)
