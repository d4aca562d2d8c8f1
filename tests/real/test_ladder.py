"""Every type costs a model the perplexity that it is known to cost, by `ayllu quantize --measure`.

Opt-in: `make test-quant MODEL=padded.gguf TEXT=tinystories_1000.txt`. The model is stories260K
(karpathy/tinyllamas) in f32, padded with zeros to rows of 256, which changes nothing of what it
says; the text is a sample of TinyStories.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Serving, serving

pytestmark = pytest.mark.real

F32 = 4.1317
LADDER = {
    "Q8_0": 4.139,
    "Q6_K": 4.166,
    "Q5_K_M": 4.189,
    "Q4_K_M": 4.386,
    "IQ4_XS": 4.459,
    "Q4_0": 4.531,
    "Q3_K_M": 5.207,
    "Q2_K": 24.8,
}
"""Perplexities of 40 chunks of 512 tokens, by llama.cpp of 2026-11 on a CPU."""

ROW = re.compile(r"^(\S+) +(\w+) +([\d.]+ .B) +([\d.]+) +([\d.]+) ± ([\d.]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("stories", Path(os.environ["AYLLU_TEST_MODEL"]).resolve())
        yield running


@pytest.mark.parametrize("kind", LADDER)
def test_a_type_costs_what_it_is_known_to_cost(server: Serving, kind: str) -> None:
    text = str(Path(os.environ["AYLLU_TEST_TEXT"]).resolve())
    reading = ["--measure", "--text", text, "--context", "512", "--chunks", "40"]
    done = server.ayllu("quantize", "stories", kind, *reading)
    assert done.status == 0, done.stderr
    (_, before, *_, whole, _), (_, after, size, bits, found, error) = ROW.findall(done.stdout)
    print(f"{kind:<7} {size:>7} {bits:>6} bits {found} ± {error}; known: {LADDER[kind]}")  # noqa: T201 - the figures are what one runs this for
    assert (before, after) == ("F32", kind)
    assert float(whole) == pytest.approx(F32, rel=0.01)
    assert float(found) == pytest.approx(LADDER[kind], rel=0.01)
