"""A program: how well a model predicts given tokens, and what it would say in their places.

It is called with the path of a JSON file, a `Plan` of score.py, and imports nothing of ours. The
engine's own library computes, as it does for llama-server, so a GGUF, its quantization and its
adapters are what is measured. It says `@at DONE TOTAL` in tokens, or `@refused WHY`, and writes a
line of JSON for each example: `nll` is the sum of -log p in nats of its `count` trained tokens,
`answers` have the end of the prompt, what the data expects there, and what the model says.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as engine
import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]

_LOGITS_BYTES = 256 << 20
"""What the probabilities of a batch may take: a vocabulary has hundreds of thousands of words."""

_SHOWN_TOKENS = 1000
"""So many of a prompt's last tokens are given back."""


class Refusal(Exception):  # noqa: N818 - it is how this program says no
    """A reason that the user can read."""


def main(path: str) -> int:
    """Do what the plan says; returns the exit status."""
    plan = json.loads(Path(path).read_text("utf-8"))
    try:
        _score(plan)
    except Refusal as error:
        _say(f"@refused {error}")
        return 1
    return 0


def _score(plan: dict[str, Any]) -> None:
    with np.load(plan["examples"], allow_pickle=False) as file:
        tokens, trained, ends = (file[name] for name in ("tokens", "trained", "ends"))
    starts = [0, *ends[:-1].tolist()]
    spans = [(starts[index], int(ends[index])) for index in plan["which"]]
    total = done = sum(end - start for start, end in spans)
    model, done = Model(plan), 0
    _say(f"@at 0 {total}")
    with Path(plan["out"]).open("w", encoding="utf-8") as out:
        for place, (start, end) in enumerate(spans):
            longest = plan["longest"] if place < plan["answers"] else 0
            line = score(model, tokens[start:end].tolist(), trained[start:end].tolist(), longest)
            out.write(json.dumps(line) + "\n")
            done += end - start
            _say(f"@at {done} {total}")


class Model:
    """A model with its adapters in the engine, and one sequence of tokens that it has read."""

    def __init__(self, plan: dict[str, Any]) -> None:
        engine.llama_backend_init()
        options = engine.llama_model_default_params()
        options.n_gpu_layers = plan["gpu_layers"]
        self._model: Any = engine.llama_model_load_from_file(plan["model"].encode(), options)
        if not self._model:
            raise Refusal("the engine cannot load this model")
        self._vocab: Any = engine.llama_model_get_vocab(self._model)
        self._words = engine.llama_vocab_n_tokens(self._vocab)
        self._batch_size = max(1, min(512, plan["context"], _LOGITS_BYTES // (4 * self._words)))
        self._context = self._make_context(plan)
        self._add(plan["adapters"])
        self._batch = engine.llama_batch_init(self._batch_size, 0, 1)

    def _make_context(self, plan: dict[str, Any]) -> object:
        options = engine.llama_context_default_params()
        options.n_ctx, options.n_batch = plan["context"], self._batch_size
        options.n_ubatch = self._batch_size
        options.n_threads = options.n_threads_batch = plan["threads"]
        options.swa_full = True  # an answer that was tried is taken back
        context = engine.llama_init_from_model(self._model, options)
        if not context:
            raise Refusal("the engine has no memory for this model's context")
        return context

    def _add(self, adapters: list[tuple[str, float]]) -> None:
        loaded = [
            engine.llama_adapter_lora_init(self._model, path.encode()) for path, _ in adapters
        ]
        if not all(loaded):
            raise Refusal("the engine cannot load this model's adapter")
        pointers = (engine.llama_adapter_lora_p_ctypes * len(loaded))(*loaded)
        scales = (ctypes.c_float * len(loaded))(*(scale for _, scale in adapters))
        if loaded and engine.llama_set_adapters_lora(self._context, pointers, len(loaded), scales):
            raise Refusal("the engine cannot use this model's adapter")

    def read(self, tokens: list[int], at: int, wanted: set[int]) -> Iterator[tuple[int, Logits]]:
        """Read tokens from a place on; gives logits at `wanted` places, valid until the next."""
        batch = self._batch
        for start in range(0, len(tokens), self._batch_size):
            piece = tokens[start : start + self._batch_size]
            batch.n_tokens = len(piece)
            for row, token in enumerate(piece):
                batch.token[row], batch.pos[row] = token, at + start + row
                batch.n_seq_id[row], batch.seq_id[row][0] = 1, 0
                batch.logits[row] = at + start + row in wanted
            if engine.llama_decode(self._context, batch):
                raise Refusal("the engine could not compute with this model")
            for row in range(len(piece)):
                if batch.logits[row]:
                    logits = engine.llama_get_logits_ith(self._context, row)
                    yield at + start + row, np.ctypeslib.as_array(logits, (self._words,))

    def forget(self, at: int) -> None:
        """Take back all tokens from a place on."""
        memory = engine.llama_get_memory(self._context)
        if not engine.llama_memory_seq_rm(memory, 0, at, -1):
            raise Refusal("the engine cannot take back what this model has read")

    def is_end(self, token: int) -> bool:
        """Whether a token ends an answer."""
        return bool(engine.llama_vocab_is_eog(self._vocab, token))

    def text(self, tokens: list[int]) -> str:
        """The tokens' text, special ones by their names."""
        size = len(tokens)
        items, room = (ctypes.c_int32 * size)(*tokens), 64 * size + 64
        while True:
            data = ctypes.create_string_buffer(room)
            flags = False, True  # what begins and ends stays, and special tokens have names
            used = engine.llama_detokenize(self._vocab, items, size, data, room, *flags)
            if used >= 0:
                return data.raw[:used].decode("utf-8", "replace")
            room = -used


def score(model: Model, tokens: list[int], trained: list[int], longest: int) -> dict[str, Any]:
    """Read an example; with `longest`, answer before each trained part, at most so many tokens."""
    model.forget(0)
    size, nll, count, answers = len(tokens), 0.0, 0, []
    begins = [i for i in range(1, size) if trained[i] and not trained[i - 1] and longest]
    wanted = {i - 1 for i in range(1, size) if trained[i]}
    at = 0
    for end in [*begins, size - 1]:
        last: Any = None
        for place, logits in model.read(tokens[at:end], at, wanted):
            if trained[place + 1]:
                nll += _surprise(logits, tokens[place + 1])
                count += 1
            last = int(logits.argmax())
        if end in begins:
            expected = _expected(model, tokens, trained, end)
            given = _answer(model, last, end, longest)
            prompt = tokens[max(0, end - _SHOWN_TOKENS) : end]
            texts = map(model.text, (prompt, expected, given))
            answers.append(dict(zip(("prompt", "expected", "given"), texts, strict=True)))
        at = end
    return {"nll": nll, "count": count, "answers": answers}


def _surprise(logits: Logits, token: int) -> float:
    """-log p of a token."""
    largest = float(logits.max())
    rest = float(np.exp(logits - largest, dtype=np.float64).sum())
    return largest + math.log(rest) - float(logits[token])


def _expected(model: Model, tokens: list[int], trained: list[int], at: int) -> list[int]:
    """The answer in the data, without what ends it."""
    end = at
    while end < len(tokens) and trained[end] and not model.is_end(tokens[end]):
        end += 1
    return tokens[at:end]


def _answer(model: Model, token: int, at: int, longest: int) -> list[int]:
    """The most probable token, again and again, until the model ends; all is taken back."""
    given: list[int] = []
    while not model.is_end(token) and len(given) < longest:
        given.append(token)
        place = at + len(given) - 1
        for _, logits in model.read([token], place, {place}):
            token = int(logits.argmax())
    model.forget(at)
    return given


def _say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
