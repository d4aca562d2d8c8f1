"""Jobs of fine-tuning as their training leaves them, without the training."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ayllu.models.model import open_model
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.models.tools import Tools
from ayllu.runner.engine import built_folder, tool_path
from ayllu.trainer.spec import ENDED, RESULT, WORK, Ended, Settings, Work
from ayllu.tune.prepare import Prepared
from ayllu.tune.result import Result

PROGRAM = Path(__file__).with_name("torch_models.py")

PREPARED = Prepared(
    examples=6,
    held=2,
    rows=6,
    shapes={"prompt/completion": 6},
    bad=(),
    bad_count=0,
    truncated=0,
    dropped=0,
    unthought=0,
    tokens=360,
    trained_tokens=180,
    longest=60,
    context=64,
    digest="sha256:" + "1" * 64,
    samples=(),
)


class Trained(Struct, frozen=True):
    """A folder of torch_models.py, and the losses that PyTorch measured: nats per token."""

    folder: Path
    losses: dict[str, float]

    @property
    def examples(self) -> Path:
        return self.folder / "examples.npz"


def run_models(python: Path, *arguments: object) -> list[dict[str, Any]]:
    """Run torch_models.py; returns what it says in lines of JSON."""
    command = [str(python), "-P", str(PROGRAM), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("@{")]


def train(python: Path, gguf: Path, folder: Path) -> Trained:
    """Have an adapter and whole weights made for a model, both with noise for a training."""
    run_models(python, "trained", gguf, folder)
    return Trained(folder, json.loads((folder / "losses.json").read_text("utf-8")))


def make_job(trained: Trained, folder: Path, store: Store, base: str, kind: str) -> Result:
    """A job that has ended: `kind` is `adapter` or `full`."""
    model = open_model(store, parse_name(base))
    shutil.copytree(trained.folder / kind, folder / RESULT)
    shutil.copy(trained.examples, folder)
    settings = Settings(method="full" if kind == "full" else "lora", rank=4)
    work = Work(
        model=str(model.path), architecture="llama", settings=settings, threads=2, room=1 << 30
    )
    ended = Ended(outcome="done", steps=3, best_step=2, loss=1.5, validation_loss=1.75, seconds=4)
    for name, value in ((WORK, work), (ENDED, ended)):
        (folder / name).write_bytes(msgspec.json.encode(value))
    return Result(
        folder=folder,
        base=model.name,
        base_digest=model.digest,
        data={"rows.jsonl": "sha256:" + "2" * 64},
        prepared=PREPARED,
    )


def real_tools() -> Tools:
    """The engine's programs."""
    folder = built_folder()
    assert folder is not None
    names = ("quantize", "imatrix", "export-lora")
    quantize, imatrix, export_lora = (tool_path(folder, f"llama-{name}") for name in names)
    return Tools(quantize=quantize, imatrix=imatrix, export_lora=export_lora)
