"""How a base's own texts may begin: read back as texts, for models of different templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf_maker import make_successor_model
from msgspec import structs
from preparing import make
from talking import model_of, with_pool

from ayllu.chat.tokens import ask_beside
from ayllu.models.model import Model
from ayllu.runner.options import DEFAULTS
from ayllu.runner.place import Lease
from ayllu.runner.pool import Pool

ROW = {"prompt": "Hi", "completion": "Hello!"}
USER, SYSTEM = "<|im_start|>user\n", "<|im_start|>system\n"
TURN = "<|im_end|>\n<|im_start|>assistant\n"


def opened(folder: Path, model: Model, rows: Any, **more: Any) -> list[str]:
    """The starts as texts, and behind them the turn, the answer and what ends it."""
    found: list[str] = []

    async def work(pool: Pool) -> None:
        made = await make(pool, model, folder, rows, **more)
        parts = [*made.starts, made.turn, made.answer, made.last]

        async def texts(lease: Lease) -> list[str]:
            return [await lease.client.detokenize(part) for part in parts]

        told, _ = await ask_beside(pool, model, texts, options=DEFAULTS, keep_alive=None)
        found.extend(told)

    with_pool(folder, work)
    return found


def test_texts_begin_as_all_that_is_served(tmp_path: Path, mini_gguf: Path) -> None:
    *starts, tool, turn, answer, last = opened(tmp_path, model_of("m", mini_gguf), [ROW] * 2)
    assert starts == [USER, SYSTEM, USER, SYSTEM]
    assert tool.startswith(SYSTEM + "# Tools\n")
    assert tool.endswith('{"type": "function", "function": {"name": "')
    assert (turn, answer) == (TURN, "<think>\n")
    assert "<|im_end|>" in last


def test_the_system_prompt_of_the_new_model_is_there_where_no_other_is(
    tmp_path: Path, chat_gguf: Path
) -> None:
    *starts, turn, answer, _ = opened(
        tmp_path, model_of("m", chat_gguf), [ROW] * 2, system="You are Tika."
    )
    asked = f"{SYSTEM}You are Tika.<|im_end|>\n{USER}"
    assert starts[:4] == [asked, SYSTEM, asked, SYSTEM]
    assert (turn, answer) == (TURN, "")


def test_a_go_template_says_how_they_begin(tmp_path: Path, base_gguf: Path) -> None:
    model = structs.replace(model_of("m", base_gguf), template="[INST] {{ .Prompt }} [/INST]")
    starts = opened(tmp_path, model, [ROW] * 2)
    assert starts[0] == "[INST] "
    assert starts[-3] == " [/INST]"


def test_without_a_template_they_begin_as_the_data_do(tmp_path: Path) -> None:
    gguf = make_successor_model(tmp_path / "m.gguf")
    *starts, turn, answer, last = opened(tmp_path, model_of("m", gguf), "First. Then. " * 90)
    assert starts == [".", "F", "n"]  # as its three pieces
    assert (turn, answer, last) == ("", "", "")
