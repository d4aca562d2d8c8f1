"""`python -m mini`: make the data, train mini and its draft, write both GGUFs. See docs/mini.md."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

from mini import tokenizer
from mini.corpus import write
from mini.export import write_gguf
from mini.mix import FIRST, FOURTH, SECOND, THIRD, texts
from mini.net import Shape
from mini.train import Course, load, train

SEED = 20_261_121
TOKENIZER_SAMPLES = 50_000


class Stage(NamedTuple):
    """A pass over some texts."""

    shares: dict[str, float]
    samples: int
    rate: float


STAGES = {
    "first": Stage(FIRST, 200_000, 1.0),
    "second": Stage(SECOND, 60_000, 0.6),
    "third": Stage(THIRD, 12_000, 0.4),
    "fourth": Stage(FOURTH, 18_000, 0.4),
}

MODELS = {
    "mini": (Shape(6, 256, 4, 2, 64, 768, tokenizer.SIZE), 1.0),
    "mini-draft": (Shape(3, 128, 2, 1, 64, 512, tokenizer.SIZE), 0.25),
}
"""The networks, and the share of the texts that each is trained on."""


def main() -> None:
    """Do what is not done yet; a second call goes on where the first one stopped."""
    parser = argparse.ArgumentParser(prog="mini", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/mini"), help="for checkpoints")
    parser.add_argument("--assets", type=Path, default=Path("src/ayllu/assets"))
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    vocabulary = options.work / "tokenizer.json"
    if not vocabulary.exists():
        print("training the tokenizer")
        tokenizer.train(texts(SEED, TOKENIZER_SAMPLES, FIRST)).save(str(vocabulary))
    words = tokenizer.load(vocabulary)
    for number, (stage, plan) in enumerate(STAGES.items(), 1):
        data = options.work / f"{stage}.npz"
        if not data.exists():
            print(f"making the {plan.samples} texts of the {stage} stage")
            write(data, words, seed=SEED + number, count=plan.samples, shares=plan.shares)
    for name in options.models:
        started = time.monotonic()
        done: list[Path] = []
        for stage, plan in STAGES.items():
            data, checkpoint = (options.work / f for f in (f"{stage}.npz", f"{name}.{stage}.pt"))
            start = done[-1] if done else None
            shape, share = MODELS[name]
            train(Course(shape, data, vocabulary, checkpoint, SEED, start, plan.rate, share))
            done.append(checkpoint)
        path = options.assets / f"{name}-f16.gguf"
        write_gguf(path, load(MODELS[name][0], done[-1]), words, name=name)
        minutes = (time.monotonic() - started) / 60
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB after {minutes:.0f} minutes")


if __name__ == "__main__":
    main()
