"""Examples behind one another, padded, and each by itself: the model must not see a difference.

And what texts of the base's own count for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hf_maker import run_torch

import ayllu

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch, transformers
from ayllu.trainer import attention
from ayllu.trainer.batches import make_batch, summed_loss
from ayllu.trainer.examples import Example, Shares

attention.register()
draw = np.random.default_rng(0)

def example(length):
    return Example(draw.integers(0, 64, length), draw.random(length) < 0.6)

def own(model, one, count):
    # an example that a model tells the likeliest tokens of
    with torch.no_grad():
        logs = torch.log_softmax(model(torch.from_numpy(one.tokens)[None]).logits[0], dim=-1)
    best = logs.topk(count)
    return one._replace(shares=Shares(best.indices.int().numpy(), best.values.numpy()))

def model_of(name, way, **more):
    kind = getattr(transformers, name)
    config = kind.config_class(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, pad_token_id=0,
        attn_implementation=way, **more,
    )
    torch.manual_seed(0)
    return kind(config).eval()

examples = [example(length) for length in (9, 17, 5, 30, 12)]
said = {}
for name, more in {
    "LlamaForCausalLM": {},
    "Gemma2ForCausalLM": {"sliding_window": 6, "attn_logit_softcapping": 3.0,
                          "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8},
    "Gemma3ForCausalLM": {"sliding_window": 6, "query_pre_attn_scalar": 8},
    "Qwen3ForCausalLM": {},
}.items():
    usual, ours = model_of(name, "eager", **more), model_of(name, attention.NAME, **more)
    ours.load_state_dict(usual.state_dict())
    for model in (usual, ours):  # far from the start, where all attention is alike
        for weight in model.parameters():
            weight.data *= 8
    with torch.no_grad():
        single = 0.0
        for one in examples:
            ids = torch.from_numpy(one.tokens)[None]
            losses = torch.nn.functional.cross_entropy(
                usual(ids).logits[0, :-1], ids[0, 1:], reduction="none")
            single += losses[torch.from_numpy(one.trained[1:])].sum().item()
        packed, padded = (
            summed_loss(ours, make_batch(examples, packing=packing)).item()
            for packing in (True, False)
        )
    said[name] = [single, packed, padded]
base, model = (model_of("LlamaForCausalLM", attention.NAME) for _ in range(2))
ids = torch.from_numpy(examples[0].tokens)[None]
for weight in model.parameters():
    weight.data += 0.2 * torch.randn_like(weight)

def gradient(loss):
    model.zero_grad()
    loss.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])

plain = torch.nn.functional.kl_div(
    *(torch.log_softmax(one(ids).logits[0, :-1], -1) for one in (model, base)),
    reduction="sum", log_target=True)
wanted = gradient(plain)

def loss_of(model, *examples, packing=True):
    return summed_loss(model, make_batch(examples, packing=packing))

few, whole = (own(base, examples[0], count) for count in (8, 64))
far = (gradient(loss_of(model, whole)) - wanted).abs().max() / wanted.abs().max()
mixed = [examples[1], few, examples[2], own(base, examples[3], 8)]
said["base"] = [loss_of(base, one).item() for one in (few, whole)]
said["model"] = [loss_of(model, one).item() for one in (few, whole)]
said["plain"] = [plain.item(), far.item()]
said["mixed"] = [loss_of(model, *mixed, packing=packing).item() for packing in (True, False)]
said["single"] = sum(loss_of(model, one).item() for one in mixed)
said["counted"] = make_batch(mixed, packing=True).counted
said["right"] = 8 + 29 + sum(int(one.trained[1:].sum()) for one in examples[1:3])
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(torch_python: Path) -> dict[str, Any]:
    source = Path(ayllu.__file__).parent.parent
    found: dict[str, Any] = json.loads(run_torch(torch_python, SCRIPT, source).splitlines()[-1])
    return found


@pytest.mark.parametrize("name", ["Llama", "Gemma2", "Gemma3", "Qwen3"])
def test_losses_are_those_of_each_example_by_itself(said: dict[str, Any], name: str) -> None:
    single, packed, padded = said[f"{name}ForCausalLM"]
    assert packed == pytest.approx(single, rel=1e-5)
    assert padded == pytest.approx(single, rel=1e-5)


def test_a_text_of_the_bases_own_counts_how_far_the_model_has_gone_from_it(
    said: dict[str, Any],
) -> None:
    assert said["base"] == pytest.approx([0, 0], abs=1e-4)
    few, whole = said["model"]
    plain, far = said["plain"]
    assert whole == pytest.approx(plain, rel=1e-4)
    assert far < 1e-4  # the gradient's greatest difference
    assert 0.05 * whole < few < whole


def test_it_counts_the_same_beside_others(said: dict[str, Any]) -> None:
    assert said["mixed"] == pytest.approx([said["single"]] * 2, rel=1e-5)
    assert said["counted"] == said["right"]
