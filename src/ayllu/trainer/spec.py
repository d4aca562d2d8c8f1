"""What the server and the program that trains have to say to each other: files in a job's folder.

The server writes `work.json` and `examples.npz` and starts the program; the program writes the
rest. It goes on while no server runs, so nothing is said by any other way. A file that is there is
whole: all but `progress.jsonl` are written under another name first.

    work.json         Work
    examples.npz      tokens (int32, all examples behind one another), trained (uint8, one for each
                      token: whether its prediction counts), ends (int64, where each example ends),
                      held (uint8, one for each example: whether it is held back for validation);
                      starts and start_ends, how the base's own texts may begin (one for each end),
                      turn, what comes before an answer, answer, what it may begin with there, and
                      last, tokens that end one
    measured.json     Measured, of a few steps that changed nothing
    progress.jsonl    a Report a line
    checkpoint-N/     after N steps: all that going on takes
    replay.npz        what the base made up, to be gone over beside the examples
    best.pt           the best weights so far, where training may stop early
    result/           an adapter as PEFT saves it, or `model.safetensors` with all weights
    ended.json        Ended, at the very end
    helpers.json      Helpers, written by the server anew whenever they change
    parallel.json     Parallel, once there was one
    log.txt           what the program said

A machine that helps has a folder, too, with `work.json` and the `key` of the training that it is
for (`helper.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

WORK = "work.json"
EXAMPLES = "examples.npz"
MEASURED = "measured.json"
PROGRESS = "progress.jsonl"
CHECKPOINT = "checkpoint-"
REPLAY = "replay.npz"
BEST = "best.pt"
RESULT = "result"
ENDED = "ended.json"
HELPERS = "helpers.json"
PARALLEL = "parallel.json"
LOG = "log.txt"
KEY = "key"
LISTENING = "listening on port"
"""What a program that helps says when it does, before the number."""

_MOST_REPLAYS = 512
LONGEST_REPLAY = 256
"""Tokens of what the base makes up, at most."""

LIKELIEST = 32
"""Tokens whose shares are kept at each place of what the base made up."""

Method = Literal["lora", "full", "qlora"]
Schedule = Literal["cosine", "linear", "constant"]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Positive = Annotated[float, Meta(gt=0)]
_Count = Annotated[int, Meta(ge=0, lt=1 << 31)]


class Settings(Struct, frozen=True, kw_only=True):
    """How to train. 0 and "auto" stand for what suits the model and the data.

    `rank`, `alpha`, `dropout`, `targets` (names of linear layers as PEFT takes them; none: all),
    `rslora` and `dora` are of adapters. `epochs` are passes over the data, `steps` bounds them
    where it is not 0. A step takes `batch` times `accumulate` examples of at most `context` tokens.
    For each example there are `replay` others that the base makes up (512 at most), for it forgets
    what it is not reminded of: there the divergence from the base counts. A share `noise` of the
    prompts' words are others each time, so that no single one decides (None: as suits the data).
    `warmup` is a share of all steps, `clip` the norm that gradients are cut to. `validation` is the
    share of the examples that is held back; there is an evaluation each `evaluate_every` steps, and
    after `patience` of them without a better loss training ends, and the best weights are the
    result (0: never, and the last ones are). A checkpoint is written
    each `checkpoint_every` steps.
    """

    method: Method = "lora"
    rank: Annotated[int, Meta(ge=1, le=1024)] = 16
    alpha: _Positive = 32.0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] = ()
    rslora: bool = False
    dora: bool = False
    learning_rate: Annotated[float, Meta(ge=0, le=1)] = 0.0
    schedule: Schedule = "cosine"
    warmup: _Share = 0.05
    weight_decay: _Share = 0.0
    clip: _Positive = 1.0
    epochs: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    steps: _Count = 0
    batch: _Count = 0
    accumulate: _Count = 0
    context: _Count = 0
    replay: Annotated[float, Meta(ge=0, le=100)] = 1.0
    noise: Annotated[float, Meta(ge=0, lt=1)] | None = None
    packing: bool = True
    validation: _Share = 0.1
    evaluate_every: _Count = 0
    patience: _Count = 0
    checkpoint_every: _Count = 0
    gradient_checkpointing: bool = False
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: Annotated[int, Meta(ge=0, lt=1 << 32)] = 0


class Work(Struct, frozen=True, kw_only=True):
    """What is to be trained: `model` is the path of a GGUF of an `architecture` of llama.cpp's.

    In the `settings` nothing is left at 0 or None that would mean a choice; a `dtype` of "auto" is
    chosen by the program, which knows the machine's circuits. `threads` are the most to compute
    with (how many are quickest is measured), `room` is how many bytes may be taken, 0 for no bound.
    """

    model: str
    architecture: str
    settings: Settings
    threads: int
    room: int


class Openings(Struct, frozen=True):
    """How texts that the base makes up may begin, in tokens: what `examples.npz` says of that.

    The `starts` are taken by turns. Behind a `turn` of the user's may stand the `answer`, and one
    of the `ends` ends it.
    """

    starts: tuple[tuple[int, ...], ...]
    turn: tuple[int, ...] = ()
    answer: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()


class Measured(Struct, frozen=True, kw_only=True):
    """What some steps took. `peak` is in bytes of the whole program; `parameters` are trained.

    `threads` are the quickest number of them, which training then takes.
    """

    steps: int
    seconds_per_step: float
    tokens_per_step: float
    evaluation_seconds: float
    peak: int
    parameters: int
    all_parameters: int
    device: str
    dtype: str
    threads: int = 0


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step's end: mean losses in nats per token, `tokens` and `seconds` since the beginning.

    `loss` is of the user's examples and the base's own texts together, which have little.
    `validation_loss` is there after an evaluation. A line of a step that is there already, after a
    resume, stands for the older one.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    tokens: int
    seconds: float
    validation_loss: float | None = None
    peak: int = 0
    checkpoint: bool = False


class Ended(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How it ended: `done`, `failed` with a sentence in `error`, or `cancelled`."""

    outcome: Literal["done", "failed", "cancelled"]
    error: str = ""
    steps: int = 0
    best_step: int = 0
    loss: float = 0.0
    validation_loss: float | None = None
    stopped_early: bool = False
    seconds: float = 0.0


class Helper(Struct, frozen=True):
    """A machine that computes parts of the steps: a port of loopback leads there.

    It helps whoever knows the `key`, which is another one each time.
    """

    name: str
    port: int
    key: str


class Helpers(Struct, frozen=True):
    """Those that can be reached now."""

    helpers: tuple[Helper, ...] = ()


class Parallel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `machines` that help, by their names, and how many times as fast it is with them.

    `aside` are those that were tried and are not worth it, with how many times as fast it was.
    """

    machines: tuple[str, ...] = ()
    speedup: float = 0.0
    aside: dict[str, float] = {}


def step_count(settings: Settings, examples: int) -> int:
    """How many steps so many examples take in all epochs, the base's among them."""
    every = settings.batch * settings.accumulate
    steps = -(-example_count(settings, examples) // every)
    return min(steps, settings.steps) if settings.steps else steps


def example_count(settings: Settings, examples: int) -> int:
    """How many examples are gone through in all epochs, the last of which may be a part of one."""
    return max(1, round(settings.epochs * examples))


def replay_count(settings: Settings, examples: int) -> int:
    """How many examples the base makes up beside so many of the user's."""
    return min(_MOST_REPLAYS, round(settings.replay * examples))
