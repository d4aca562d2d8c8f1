"""The program as it is started, on mini: what it leaves behind, and how it goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_disk import mounted
from training import make_job, measured, reports, rows_of, run, start

from ayllu.gguf.read import read_header
from ayllu.gguf.safetensors import check_safetensors
from ayllu.trainer.spec import BEST, LOG, MEASURED, PROGRESS, REPLAY, RESULT

ROWS, HELD = rows_of(40), rows_of(6, seed=2)

STARTS = ((1, 301, 210), (1, 364, 210))
TURN, ANSWER, LAST = [2, 210, 1, 299, 210], [6, 210], [0, 2]
"""How mini's conversations begin, with a user or a system prompt; how its answers do, and end."""
OPENINGS = {
    "starts": np.concatenate(STARTS, dtype=np.int32),
    "start_ends": np.array([3, 6]),
    "turn": np.array(TURN, np.int32),
    "answer": np.array(ANSWER, np.int32),
    "last": np.array(LAST, np.int32),
}


def job(folder: Path, model: Path, **values: Any) -> Path:
    """Twenty steps with all that chance has a part in."""
    usual: dict[str, Any] = {"held": HELD, "epochs": 2, "dropout": 0.1, "noise": 0.2}
    return make_job(folder, model, ROWS, **usual | values)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, torch_python: Path, mini_gguf: Path) -> Path:
    """A training that nothing disturbed."""
    folder = job(tmp_path_factory.mktemp("whole") / "job", mini_gguf)
    ended = run(torch_python, folder)
    assert ended is not None, (folder / LOG).read_text()
    assert (ended.outcome, ended.error, ended.steps) == ("done", "", 20)
    return folder


def wait_for_steps(folder: Path, steps: int) -> None:
    path = folder / PROGRESS
    while not path.exists() or path.read_bytes().count(b"\n") < steps:
        time.sleep(0.005)


def header_of(path: Path) -> dict[str, tuple[str, list[int]]]:
    tensors = check_safetensors(path, path.name)
    return {name: (tensor.dtype, list(tensor.shape)) for name, tensor in tensors.items()}


def curve(folder: Path) -> list[tuple[float, float | None, int]]:
    found = reports(folder)
    assert list(found) == list(range(1, len(found) + 1))
    return [(found[step].loss, found[step].validation_loss, found[step].tokens) for step in found]


def test_it_learns_and_leaves_an_adapter_that_names_nobody(whole: Path) -> None:
    losses = [loss for loss, _, _ in curve(whole)]
    assert losses[-1] < losses[0] * 0.75
    assert sorted(path.name for path in (whole / RESULT).iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((whole / RESULT / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"], config["lora_alpha"]) == (None, 4, 32)
    header = header_of(whole / RESULT / "adapter_model.safetensors")
    prefix = "base_model.model.model.layers.0.self_attn.k_proj.lora_"
    assert header[f"{prefix}A.weight"] == ("F32", [4, 256])
    assert header[f"{prefix}B.weight"] == ("F32", [128, 4])
    assert sorted(path.name for path in whole.glob("checkpoint-*")) == [
        "checkpoint-18",
        "checkpoint-20",
    ]


def test_after_a_kill_it_goes_on_as_if_nothing_had_been(
    whole: Path, tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    folder = job(tmp_path / "job", mini_gguf)
    process = start(torch_python, folder)
    wait_for_steps(folder, 5)
    process.kill()
    process.wait()
    done = len(reports(folder))
    assert done < 20
    ended = run(torch_python, folder)
    assert ended is not None
    assert (ended.outcome, ended.steps) == ("done", 20)
    assert curve(folder) == curve(whole)
    name = f"{RESULT}/adapter_model.safetensors"
    assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_told_to_end_it_keeps_where_it_is_and_a_damaged_checkpoint_is_passed_over(
    whole: Path, tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    folder = job(tmp_path / "job", mini_gguf)
    process = start(torch_python, folder)
    wait_for_steps(folder, 5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    steps = len(reports(folder))
    assert json.loads((folder / "ended.json").read_bytes()) | {"seconds": 0} == {
        "outcome": "cancelled",
        "steps": steps,
        "seconds": 0,
    }
    state = folder / f"checkpoint-{steps}" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    ended = run(torch_python, folder)
    assert ended is not None
    assert ended.outcome == "done"
    assert f"checkpoint-{steps} cannot be read" in (folder / LOG).read_text()
    assert curve(folder) == curve(whole)


def test_a_disk_that_is_full_at_a_checkpoint_costs_nothing_that_was_written(
    whole: Path, tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    with mounted(tmp_path / "disk", "size=4m") as disk:
        folder = job(disk / "job", mini_gguf)
        ended = run(torch_python, folder)
        assert ended is not None
        assert ended.outcome == "failed"
        kept = sorted(path.name for path in folder.glob("*checkpoint*"))
        assert kept == ["checkpoint-2", "checkpoint-4"]
        assert ended.error == (
            "the disk is full; checkpoint-4 is whole, and training can go on from it"
        )
        command = ["mount", "-o", "remount,size=40m", str(disk)]
        subprocess.run(command, check=True)
        ended = run(torch_python, folder)
        assert ended is not None
        assert ended.outcome == "done"
        assert curve(folder) == curve(whole)


def test_measuring_tells_what_training_takes_and_changes_nothing(
    whole: Path, tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    folder = job(tmp_path / "job", mini_gguf, threads=2)
    before = {path.name for path in folder.iterdir()}
    assert run(torch_python, folder, "--measure", "2") is None
    assert {path.name for path in folder.iterdir()} == before | {MEASURED, LOG}
    said, done = measured(folder), reports(whole)[20]
    assert (said.steps, said.device, said.dtype) == (20, "cpu", "float32")
    assert said.parameters == 116_736
    assert said.tokens_per_step == pytest.approx(done.tokens / 20)
    assert said.threads in {1, 2}
    assert said.peak == pytest.approx(done.peak, rel=0.1)


def test_examples_that_go_one_after_the_other_count_as_much_as_together(
    tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    values: dict[str, Any] = {"epochs": 1, "checkpoint_every": 0, "evaluate_every": 0}
    together = make_job(tmp_path / "together", mini_gguf, ROWS, batch=8, **values)
    apart = make_job(
        tmp_path / "apart",
        mini_gguf,
        ROWS,
        batch=2,
        accumulate=4,
        gradient_checkpointing=True,
        **values,
    )
    for folder in (together, apart):
        ended = run(torch_python, folder)
        assert ended is not None
        assert ended.outcome == "done", ended.error
    assert not list(together.glob("checkpoint-*"))
    first, second = ([loss for loss, _, _ in curve(folder)] for folder in (together, apart))
    assert len(first) == 5
    assert second == pytest.approx(first, rel=1e-4)


def test_the_base_makes_up_texts_once_and_is_held_to_them(
    tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    folder = make_job(tmp_path / "job", mini_gguf, ROWS[:16], replay=1, openings=OPENINGS)
    assert run(torch_python, folder, "--measure", "1") is None
    written = (folder / REPLAY).stat().st_mtime_ns
    with np.load(folder / REPLAY) as arrays:
        made, lengths = dict(arrays), arrays["lengths"].tolist()
    ends = np.cumsum(lengths)
    texts = [one.tolist() for one in np.split(made["tokens"], ends[:-1])]
    assert len(texts) == 16
    assert len({tuple(text) for text in texts}) == 16
    assert sorted(text[:3] for text in texts) == sorted(8 * [list(one) for one in STARTS])
    after = [places[0] for text in texts if (places := [*places_of(TURN, text)])]
    answered = [text for text in texts if [*places_of(TURN, text)]]
    thoughts = [
        text[place : place + 2] == ANSWER for text, place in zip(answered, after, strict=True)
    ]
    assert 5 <= sum(thoughts) <= 8
    assert len(thoughts) >= 12
    short = [text for text in texts if text[-1] in LAST]
    assert len(short) >= 8
    assert max(lengths) == 256  # one goes on
    assert made["likeliest"].shape == made["logs"].shape == (sum(lengths), 32)
    logs = np.delete(made["logs"], ends - 1, axis=0)  # nothing follows a text
    assert (np.exp(logs).sum(axis=1) <= 1 + 1e-4).all()
    ended = run(torch_python, folder)
    assert ended is not None
    assert (ended.outcome, ended.steps, measured(folder).steps) == ("done", 8, 8)
    assert (folder / REPLAY).stat().st_mtime_ns == written
    assert reports(folder)[8].tokens == sum(lengths) + sum(len(tokens) for tokens, _ in ROWS[:16])


def places_of(wanted: Sequence[int], text: Sequence[int]) -> Iterator[int]:
    """Where something ends in a text."""
    size = len(wanted)
    return (n + size for n in range(len(text)) if text[n : n + size] == wanted)


def test_all_weights_become_a_model_with_the_types_of_the_base(
    tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    folder = make_job(
        tmp_path / "job",
        mini_gguf,
        ROWS[:8],
        held=HELD,
        method="full",
        learning_rate=0.01,
        evaluate_every=1,
        patience=1,
        epochs=20,
        schedule="constant",
        warmup=0,
    )
    ended = run(torch_python, folder)
    assert ended is not None
    assert (ended.outcome, ended.stopped_early) == ("done", True)
    found = reports(folder)
    assert list(found) == list(range(1, ended.steps + 1))
    losses = {step: report.validation_loss for step, report in found.items()}
    assert ended.validation_loss == losses[ended.best_step] == min(losses.values())  # type: ignore[type-var]
    assert ended.steps == ended.best_step + 1
    assert (folder / BEST).exists()
    header = header_of(folder / RESULT / "model.safetensors")
    assert header["model.embed_tokens.weight"] == ("F16", [2048, 256])
    assert header["model.layers.5.self_attn.q_proj.weight"] == ("F16", [256, 256])
    assert header["model.norm.weight"] == ("F32", [256])
    assert "lm_head.weight" not in header


def test_dora_leaves_the_weights_with_what_was_learned_in_them(
    tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    values: dict[str, Any] = {"targets": ("q_proj",), "dora": True, "rslora": True}
    folder = make_job(tmp_path / "job", mini_gguf, ROWS[:8], **values)
    ended = run(torch_python, folder)
    assert ended is not None
    assert ended.outcome == "done"
    header = header_of(folder / RESULT / "model.safetensors")
    assert header["model.layers.0.self_attn.q_proj.weight"] == ("F16", [256, 256])
    assert not any("lora" in name or "base_layer" in name for name in header)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"targets": ("q_proj", "c_attn")},
            (
                "this model has no layers c_attn: those that can be trained are down_proj, "
                "gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
            ),
        ),
        ({"method": "qlora"}, "qlora needs a CUDA GPU, and there is none: lora does without"),
        (
            {"room": 400_000_000},
            (
                "memory ran out: a smaller batch (with more accumulation), a shorter context or "
                "gradient checkpointing takes less"
            ),
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    values: dict[str, Any], sentence: str, tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    folder = make_job(tmp_path / "job", mini_gguf, ROWS[:8], **values)
    ended = run(torch_python, folder)
    assert ended is not None
    assert (ended.outcome, ended.error) == ("failed", sentence)


def test_a_loss_that_is_no_number_ends_it(
    tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    broken = Path(shutil.copy(mini_gguf, tmp_path / "broken.gguf"))
    header = read_header(broken)
    norm = next(one for one in header.tensors if one.name == "output_norm.weight")
    with broken.open("r+b") as file:
        file.seek(header.data_offset + norm.offset)
        file.write(np.float32("nan").tobytes())
    folder = make_job(tmp_path / "job", broken, ROWS[:8])
    ended = run(torch_python, folder)
    assert ended is not None
    assert (ended.outcome, ended.error) == (
        "failed",
        "the loss is no number any more after step 1: a lower learning rate may help",
    )
    assert not (folder / RESULT).exists()
