"""What was trained says in the engine what it says in PyTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hf_maker import make_hf, run_torch
from serving import Serving, serving
from training import make_job, rows_of, run

from ayllu.gguf.read import read_header
from ayllu.trainer.spec import RESULT

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


def is_exact(path: Path) -> bool:
    return read_header(path).kvs.get("general.file_type") == 0
