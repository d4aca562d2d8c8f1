"""What was trained says in the engine what it says in PyTorch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hf_maker import make_hf, run_torch
from serving import Serving, serving
from training import make_job, rows_of, run

from ayllu.gguf.read import read_header
from ayllu.gguf.score import score
from ayllu.gguf.write import Made, Tensor, tensor_of, values_of, write_gguf
from ayllu.trainer.spec import EXAMPLES, RESULT

PROMPTS = ("Once upon a time", "What is two plus", "El cielo es")
FIRST = 20
"""So many tokens, the likeliest, are compared after each prompt."""

SCRIPT = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, adapter, first, *prompts = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
said = []
for tuned in (False, True):
    if tuned:
        model = PeftModel.from_pretrained(model, adapter)
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            shares = torch.log_softmax(model(ids).logits[0, -1], dim=-1)
        best = torch.topk(shares, int(first))
        said.append({tokenizer.decode([token]): share for token, share in
                     zip(best.indices.tolist(), best.values.tolist())})
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, torch_python: Path) -> Iterator[Serving]:
    """One whose attention is as exact as PyTorch's: the usual is off by some thousandths."""
    exact = {"AYLLU_KV_CACHE_TYPE": "f32", "AYLLU_FLASH_ATTENTION": "off"}
    home = tmp_path_factory.mktemp("home")
    with serving(home, AYLLU_TORCH_PYTHON=str(torch_python), **exact) as running:
        yield running


def said_by(server: Serving, model: str, prompt: str) -> dict[str, float]:
    body = {
        "model": model,
        "prompt": prompt,
        "raw": True,
        "stream": False,
        "logprobs": True,
        "top_logprobs": FIRST,
        "options": {"temperature": 0, "num_predict": 1},
    }
    (answer,) = server.post("/api/generate", body).json["logprobs"]
    return {one["token"]: one["logprob"] for one in answer["top_logprobs"]}


def test_an_adapter_gives_every_token_the_share_it_had_in_training(
    server: Serving, tmp_path: Path, mini_gguf: Path, torch_python: Path
) -> None:
    exact = make_hf(tmp_path / "exact", mini_gguf, dtype="F32")
    ran = server.ayllu("create", "exact", str(exact))
    assert ran.status == 0, ran.stderr
    blobs = (server.home / "models" / "blobs").iterdir()
    base = next(path for path in blobs if path.read_bytes()[:4] == b"GGUF" and is_exact(path))
    folder = make_job(tmp_path / "job", base, rows_of(10), epochs=2, replay=4)
    ended = run(torch_python, folder)
    assert ended is not None
    assert ended.outcome == "done"
    modelfile = tmp_path / "Modelfile"
    modelfile.write_text(f"FROM exact\nADAPTER {folder / RESULT}\n", "utf-8")
    ran = server.ayllu("create", "tuned", "-f", str(modelfile))
    assert ran.status == 0, ran.stderr
    printed = run_torch(torch_python, SCRIPT, exact, folder / RESULT, FIRST, *PROMPTS)
    torch = json.loads(printed.splitlines()[-1])
    engine = [said_by(server, model, one) for model in ("exact", "tuned") for one in PROMPTS]
    assert torch[0] != torch[len(PROMPTS)]
    for ours, theirs in zip(engine, torch, strict=True):
        both = ours.keys() & theirs.keys()
        assert len(both) >= FIRST - 2  # at the edge two may change places
        assert [ours[token] for token in both] == pytest.approx(
            [theirs[token] for token in both], abs=1e-3
        )


def test_llama_3s_stretched_positions_are_those_of_the_engine(
    tmp_path: Path, mini_gguf: Path, torch_python: Path
) -> None:
    stretched = tmp_path / "stretched.gguf"
    stretched.touch()
    asyncio.run(write_with_frequencies(mini_gguf, stretched))
    rows = rows_of(8, longest=100)
    folder = make_job(
        tmp_path / "job", stretched, rows[:4], held=rows[4:], steps=1, learning_rate=1e-12
    )
    ended = run(torch_python, folder)
    assert ended is not None
    stretched_loss, plain_loss = (
        asyncio.run(engine_loss(path, folder)) for path in (stretched, mini_gguf)
    )
    assert ended.validation_loss == pytest.approx(stretched_loss, abs=2e-3)
    assert abs(plain_loss - stretched_loss) > 0.01


async def write_with_frequencies(source: Path, target: Path) -> None:
    """A model whose slower turns are slower still, as those of Llama 3."""
    header = read_header(source)
    count = int(str(header.kvs["llama.rope.dimension_count"])) // 2
    factors = np.linspace(1, 8, count, dtype=np.float32).tobytes()
    added = Tensor("rope_freqs.weight", (count,), 0, (Made(lambda: factors, len(factors)),))
    tensors = [added, *(tensor_of(source, header, one) for one in header.tensors)]
    async for _ in write_gguf(target, values_of(header), tensors, alignment=header.alignment):
        pass


async def engine_loss(model: Path, folder: Path) -> float:
    """Nats per token of the examples that a job holds back."""
    plan: dict[str, Any] = {"answers": 0, "longest": 0, "context": 256, "gpus": 0}
    items = [item async for item in score(model, [], folder / EXAMPLES, range(4, 8), **plan)]
    scores: Any = items[-1]
    return float(sum(one.nll for one in scores) / sum(one.count for one in scores))


def is_exact(path: Path) -> bool:
    return read_header(path).kvs.get("general.file_type") == 0
