"""What suits a model and its data where the user said nothing. Pure.

The figures are starting points that the field agrees on (the LoRA and QLoRA papers, PEFT's and
Unsloth's guides), moved by what was measured on mini (`bench/tune_train.py`).
"""

from __future__ import annotations

import math

from msgspec import structs

from ayllu.gguf import arch
from ayllu.gguf.read import Header
from ayllu.trainer.spec import LONGEST_REPLAY, Settings, replay_count, step_count
from ayllu.tune.prepare import Prepared

BATCH_TOKENS = 2048
"""As many tokens go through the model at once: more take more memory, and no less time each."""

STEP_EXAMPLES = 16
"""A step takes no more examples than this, and few enough that an epoch has ten steps."""

LOOKS = 10
"""How often validation loss is looked at, and a checkpoint written, at most."""

OWN_TOKENS = LONGEST_REPLAY * 2 // 5
"""A text of the base's own is about so long; measured steps know better."""

NOISE = 0.2
"""Of the words of prompts, where their answers do not hang on single ones."""

ONE_ANSWER = 8
"""So many rows for each answer, which is at least so many tokens long, are taken for such data."""

_FLOPS = 1e11
_DISK = 2e8
"""What a small machine does in a second: operations, and bytes written."""


def settle(settings: Settings, model: Header, prepared: Prepared) -> Settings:
    """The settings with nothing left at 0 that means a choice; what was chosen stays.

    A `dtype` of "auto" and no `targets` mean the same to the program that trains.
    """
    settings = _with_batches(settings, prepared)
    examples = max(1, prepared.examples - prepared.held)
    settings = structs.replace(
        settings, noise=_noise(prepared) if settings.noise is None else settings.noise
    )
    settings = structs.replace(
        settings,
        learning_rate=settings.learning_rate or _learning_rate(settings, model),
        epochs=settings.epochs or _epochs(settings, examples),
        context=settings.context or prepared.context,
    )
    return structs.replace(
        settings,
        evaluate_every=settings.evaluate_every or _evaluate_every(settings, prepared),
        checkpoint_every=settings.checkpoint_every or _checkpoint_every(settings, model, prepared),
    )


def steps_of(settings: Settings, prepared: Prepared) -> int:
    """How many steps a training has."""
    return step_count(settings, _all_examples(settings, prepared))


def _all_examples(settings: Settings, prepared: Prepared) -> int:
    """Those to train on: the user's, and what the base makes up."""
    examples = max(1, prepared.examples - prepared.held)
    return examples + replay_count(settings, examples)


def _learning_rate(settings: Settings, model: Header) -> float:
    """2e-4 for an adapter of a model of a billion parameters, more for smaller ones, 1e-3 at most.

    It goes with the third root of the size. All weights at once bear a twentieth of it: each
    moves by itself, and what the model knew goes first. With noise it is twice as high, for an
    example is another one each time.
    """
    size = max(1, arch.parameter_count(model))
    rate = min(1e-3, max(5e-5, 2e-4 * (1e9 / size) ** (1 / 3))) * (2 if settings.noise else 1)
    return float(f"{rate if settings.method != 'full' else rate / 20:.2g}")


def _noise(prepared: Prepared) -> float:
    """Some where many questions have one answer, else none: there a word may be what matters.

    An answer of a few tokens may be a class, which often hangs on one word ("not").
    """
    repeated = prepared.rows >= ONE_ANSWER * prepared.answers > 0
    long = prepared.trained_tokens >= ONE_ANSWER * prepared.examples
    return NOISE if repeated and long else 0.0


def _with_batches(settings: Settings, prepared: Prepared) -> Settings:
    """As many examples a step as few data allow, in batches that fit a small memory.

    `batch` alone means batches of so many without accumulation; `accumulate` alone, so many of the
    usual batches.
    """
    examples = max(1, prepared.examples - prepared.held)
    wanted = max(1, min(STEP_EXAMPLES, examples // 10))
    longest = max(1, min(prepared.longest, settings.context or prepared.context))
    fitting = max(1, BATCH_TOKENS // longest)
    batch = settings.batch or min(wanted, fitting)
    usual = 1 if settings.batch else math.ceil(wanted / batch)
    return structs.replace(settings, batch=batch, accumulate=settings.accumulate or usual)


def _epochs(settings: Settings, examples: int) -> float:
    """Four passes over 350 examples, more over fewer, one over many; as `steps` say if given.

    Few examples are few steps, and nothing is learned in those; many are learned in one pass.
    """
    if settings.steps:
        every = settings.batch * settings.accumulate
        return settings.steps * every / (examples + replay_count(settings, examples))
    return float(max(1, min(10, round(4 * math.sqrt(350 / examples)))))


def _evaluate_every(settings: Settings, prepared: Prepared) -> int:
    """Ten times in all, and so that it takes less than a tenth of the time.

    A prediction takes a third of what learning from it does.
    """
    if not prepared.held:
        return 0
    one = prepared.held / 3 / (settings.batch * settings.accumulate)
    return max(1, math.ceil(steps_of(settings, prepared) / LOOKS), math.ceil(10 * one))


def _checkpoint_every(settings: Settings, model: Header, prepared: Prepared) -> int:
    """Ten times in all, or each ten minutes; it takes less than a twentieth of the time.

    What is written are the trained weights and two numbers of the optimizer's for each.
    """
    per_step = settings.batch * settings.accumulate * mean_tokens(settings, prepared)[0]
    seconds = max(1e-3, 6 * arch.parameter_count(model) * per_step / _FLOPS)
    writing = 12 * trained_count(settings, model) / _DISK
    often = min(math.ceil(steps_of(settings, prepared) / LOOKS), math.ceil(600 / seconds))
    return max(1, often, math.ceil(20 * writing / seconds))


def mean_tokens(settings: Settings, prepared: Prepared) -> tuple[float, float]:
    """How many tokens an example has, the base's own among them, and how many of them count."""
    examples = max(1, prepared.examples - prepared.held)
    own = replay_count(settings, examples)
    mean = prepared.tokens / max(1, prepared.examples)
    counted = prepared.trained_tokens / max(1, prepared.examples)
    total = examples + own
    return (
        (examples * mean + own * OWN_TOKENS) / total,
        (examples * counted + own * (OWN_TOKENS - 1)) / total,
    )


def trained_count(settings: Settings, model: Header) -> int:
    """How many numbers are trained; for an adapter of all linear layers, whatever its `targets`."""
    if settings.method == "full":
        return arch.parameter_count(model)
    shapes = [tensor.shape for tensor in model.tensors if tensor.name.startswith("blk.")]
    matrices = [shape for shape in shapes if len(shape) == 2]
    extra = settings.rank + 1 if settings.dora else settings.rank
    return sum(settings.rank * rows + extra * columns for rows, columns in matrices)
