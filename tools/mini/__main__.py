"""`python -m mini`: make the data, train mini and its draft, write both GGUFs. See docs/mini.md."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from mini import tokenizer
from mini.corpus import write
from mini.export import write_gguf
from mini.mix import texts
from mini.net import Shape
from mini.train import load, train

SEED = 20_261_121
SAMPLES = 200_000
TOKENIZER_SAMPLES = 50_000

SHAPES = {
    "mini": Shape(6, 256, 4, 2, 64, 768, tokenizer.SIZE),
    "mini-draft": Shape(3, 128, 2, 1, 64, 512, tokenizer.SIZE),
}


def main() -> None:
    """Do what is not done yet; a second call goes on where the first one stopped."""
    parser = argparse.ArgumentParser(prog="mini", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/mini"), help="for checkpoints")
    parser.add_argument("--assets", type=Path, default=Path("src/ayllu/assets"))
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--models", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    vocabulary = options.work / "tokenizer.json"
    if not vocabulary.exists():
        print("training the tokenizer")
        tokenizer.train(texts(SEED, TOKENIZER_SAMPLES)).save(str(vocabulary))
    words = tokenizer.load(vocabulary)
    data = options.work / "corpus.npz"
    if not data.exists():
        print(f"making {options.samples} texts")
        write(data, words, seed=SEED + 1, count=options.samples)
    for name in options.models:
        started = time.monotonic()
        checkpoint = options.work / f"{name}.checkpoint"
        train(SHAPES[name], data, vocabulary, checkpoint, SEED)
        path = options.assets / f"{name}-f16.gguf"
        write_gguf(path, load(SHAPES[name], checkpoint), words, name=name)
        minutes = (time.monotonic() - started) / 60
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB after {minutes:.0f} minutes")


if __name__ == "__main__":
    main()
