"""How fast training is beside a bare loop of PyTorch and PEFT, and how well its memory is foretold.

    make bench SCRIPTS=bench/tune_train.py [MODEL=FILE.gguf]

The bare loop is what its guides show: padded batches, the model's own loss over all logits, AdamW.
Both learn the same examples in the same order, each in a process of its own with one thread, by
turns. The memory is what `--measure` foretold and what the estimate said, beside the whole run's,
without texts of the base's own (`tune.py` has them).
Needs `make extras`; without a model, mini is trained.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from hf_maker import run_torch
from measure import show
from msgspec import structs
from training import Row, make_job, measured, reports, rows_of, run

import ayllu
from ayllu.gguf.read import read_header
from ayllu.models.shelf import ASSETS
from ayllu.torch_python import find_torch_python
from ayllu.trainer.files import read_json, write_json
from ayllu.trainer.spec import WORK, Settings, Work
from ayllu.tune.defaults import settle
from ayllu.tune.memory import estimate
from ayllu.tune.prepare import Prepared

ROUNDS = 3
EXAMPLES = 200
MB = 1e6

BARE = """
import sys, time
sys.path.insert(0, sys.argv[1])
folder, source = sys.argv[2], sys.argv[1]
import torch, transformers
from pathlib import Path
from peft import LoraConfig, get_peft_model
from ayllu.trainer.examples import Course, read_examples
from ayllu.trainer.files import read_json
from ayllu.trainer.spec import Work
work = read_json(Path(folder, "work.json"), Work)
settings = work.settings
torch.set_num_threads(work.threads)
place = Path(work.model)
model = transformers.AutoModelForCausalLM.from_pretrained(
    place.parent, gguf_file=place.name, dtype=torch.float32)
model = get_peft_model(model, LoraConfig(r=settings.rank, lora_alpha=settings.alpha,
    target_modules="all-linear", task_type="CAUSAL_LM"))
model.train()
examples = read_examples(Path(folder, "examples.npz"), context=settings.context,
                         vocabulary=model.config.vocab_size)
course = Course(examples, settings)
optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-3)

def step(number):
    size = 0
    for chosen in course.batches(number):
        batch = [examples.training[one] for one in chosen]
        longest = max(len(one.tokens) for one in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
        for row, one in enumerate(batch):
            length = len(one.tokens)
            ids[row, :length] = torch.from_numpy(one.tokens)
            labels[row, :length] = torch.where(
                torch.from_numpy(one.trained), torch.from_numpy(one.tokens), -100)
            mask[row, :length] = 1
            size += length
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return size

step(0)
began = time.process_time()
tokens = sum(step(number) for number in range(1, course.steps))
print(tokens / (time.process_time() - began))
"""

OURS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import torch
from ayllu.trainer.examples import read_examples
from ayllu.trainer.files import read_json
from ayllu.trainer.loop import Trainer
from ayllu.trainer.network import read_network
from ayllu.trainer.spec import Work
folder = Path(sys.argv[2])
work = read_json(folder / "work.json", Work)
torch.set_num_threads(work.threads)
network = read_network(Path(work.model), work.settings)
examples = read_examples(folder / "examples.npz", context=work.settings.context,
                         vocabulary=network.model.config.vocab_size)
trainer = Trainer(folder, network, examples)
trainer.advance(0)
began, before = time.process_time(), trainer.tokens
for step in range(1, trainer.course.steps):
    trainer.advance(step)
print((trainer.tokens - before) / (time.process_time() - began))
"""


def main() -> None:
    """Measure both."""
    python = find_torch_python(os.environ.get("AYLLU_TORCH_PYTHON", ""))
    model = Path(os.environ.get("MODEL", ASSETS / "mini-f16.gguf")).resolve()
    with tempfile.TemporaryDirectory() as home:
        folder = make_job(Path(home, "job"), model, rows_of(EXAMPLES), batch=16)
        source = Path(ayllu.__file__).parent.parent
        rates: dict[str, list[float]] = {"bare": [], "ours": []}
        for _ in range(ROUNDS):
            for name, script in (("bare", BARE), ("ours", OURS)):
                rates[name].append(float(run_torch(python, script, source, folder).split()[-1]))
        bare = show("a bare loop, per second of a core", rates["bare"], "tokens")
        ours = show("ours", rates["ours"], "tokens")
        print(f"ours beside it: {ours / bare:.2f}, wanted 0.95")
        memory(python, Path(home, "memory"), model)


def memory(python: Path, folder: Path, model: Path) -> None:
    """What was foretold of the memory, by the estimate and by some steps, and what it took."""
    rows = rows_of(EXAMPLES)
    prepared = prepared_of(rows)
    settings = settle(Settings(dtype="float32", replay=0), read_header(model), prepared)
    make_job(folder, model, rows)
    work = read_json(folder / WORK, Work)
    write_json(folder / WORK, structs.replace(work, settings=settings, threads=2))
    run(python, folder, "--measure", "3")
    run(python, folder)
    peak = max(report.peak for report in reports(folder).values())
    print(f"memory of a training: {peak / MB:.0f} MB")
    told = {
        "by some steps": measured(folder).peak,
        "by the estimate": estimate(settings, read_header(model), prepared),
    }
    for way, size in told.items():
        print(f"foretold {way}: {size / peak:.2f} of it, wanted 0.9 to 1.1")


def prepared_of(rows: list[Row]) -> Prepared:
    """What preparing these examples would say of them."""
    lengths = [len(tokens) for tokens, _ in rows]
    return Prepared(
        examples=len(rows),
        held=0,
        rows=len(rows),
        shapes={},
        bad=(),
        bad_count=0,
        truncated=0,
        dropped=0,
        unthought=0,
        tokens=sum(lengths),
        trained_tokens=int(np.sum([sum(trained) for _, trained in rows])),
        longest=max(lengths),
        context=max(lengths),
        digest="",
        samples=(),
    )


if __name__ == "__main__":
    main()
