"""Examples behind one another, padded, and each by itself: the model must not see a difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hf_maker import run_torch

import ayllu

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch, transformers
from ayllu.trainer import attention
from ayllu.trainer.batches import make_batch, summed_loss
from ayllu.trainer.examples import Example

attention.register()
draw = np.random.default_rng(0)

def example(length):
    return Example(draw.integers(0, 64, length), draw.random(length) < 0.6)

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
print(json.dumps(said))
"""


def test_losses_are_those_of_each_example_by_itself(torch_python: Path) -> None:
    source = Path(ayllu.__file__).parent.parent
    said = json.loads(run_torch(torch_python, SCRIPT, source).splitlines()[-1])
    assert len(said) == 4
    for single, packed, padded in said.values():
        assert packed == pytest.approx(single, rel=1e-5)
        assert padded == pytest.approx(single, rel=1e-5)
