"""What a tuned model says of its own making: a layer of JSON in its manifest."""

from __future__ import annotations

import time
from typing import Literal

from msgspec import Struct

from ayllu import __version__
from ayllu.gotime import format_time
from ayllu.trainer.spec import Ended, Settings
from ayllu.tune.prepare import Prepared

Kind = Literal["adapter", "merged", "full"]


class Tuned(Struct, frozen=True, kw_only=True):
    """How a model was trained.

    `base` names the model that it was trained from, `base_digest` is its manifest's and
    `weights_digest` its GGUF's. `kind` says whether an adapter lies beside those weights, was
    merged into them, or all weights were trained. `job` is the job's id. `data` maps the names of
    the files to their digests, `data_digest` is of all of them. `held` of the `examples` were held
    back; the losses are means in nats per token, that of validation on those. `seconds` are of
    training.
    """

    base: str
    base_digest: str
    weights_digest: str
    kind: Kind
    job: str
    data: dict[str, str]
    data_digest: str
    examples: int
    held: int
    tokens: int
    trained_tokens: int
    settings: Settings
    steps: int
    best_step: int
    loss: float
    validation_loss: float | None
    stopped_early: bool
    seconds: float
    created_at: str
    version: str


def describe_training(  # noqa: PLR0913 - each is another part of the record
    *,
    job: str,
    base: str,
    base_digest: str,
    weights_digest: str,
    kind: Kind,
    data: dict[str, str],
    prepared: Prepared,
    settings: Settings,
    ended: Ended,
) -> Tuned:
    """The record of a training that has ended just now."""
    return Tuned(
        base=base,
        base_digest=base_digest,
        weights_digest=weights_digest,
        kind=kind,
        job=job,
        data=data,
        data_digest=prepared.digest,
        examples=prepared.examples,
        held=prepared.held,
        tokens=prepared.tokens,
        trained_tokens=prepared.trained_tokens,
        settings=settings,
        steps=ended.steps,
        best_step=ended.best_step,
        loss=ended.loss,
        validation_loss=ended.validation_loss,
        stopped_early=ended.stopped_early,
        seconds=ended.seconds,
        created_at=format_time(time.time_ns()),
        version=__version__,
    )
