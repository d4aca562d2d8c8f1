"""Training on the CPU: seeded, resumable from a checkpoint, with a progress bar.

A process per core computes the gradients of its part of each batch. Threads would do as well on an
idle machine, but they wait for each other thousands of times per step: on a busy one that measured
seven times as slow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, distributed, multiprocessing
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from mini import tokenizer
from mini.corpus import Corpus
from mini.net import Net, Shape

MATRIX_RATE = 4e-3
"""Muon's, in AdamW's measure. Source: Jordan et al. 2024, Muon; Liu et al. 2025, 2502.16982."""

OTHER_RATE = 3e-3
DECAY = 0.05
WARM_UP = 60
COOL_DOWN = 0.45
"""The last share of the steps, in which the rates fall to nothing."""

CLIP = 1.0
SAVE_SECONDS = 120.0
WORKERS = 2


@dataclass(frozen=True)
class Course:
    """What to train: `data` and `vocabulary` are files, `start` is a checkpoint to go on from.

    The network and how far it is are kept in `checkpoint`. `rate` scales the learning rates,
    `share` is how much of the texts is gone through.
    """

    shape: Shape
    data: Path
    vocabulary: Path
    checkpoint: Path
    seed: int
    start: Path | None = None
    rate: float = 1.0
    share: float = 1.0


def train(course: Course) -> None:
    """Train a network on stored texts; ends with its checkpoint at the last step."""
    # Every batch has a shape of its own, and oneDNN would keep a thousand of them: gigabytes.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    meeting = course.checkpoint.with_suffix(".meeting").resolve()
    meeting.unlink(missing_ok=True)
    multiprocessing.spawn(_work, (meeting, course), nprocs=WORKERS)
    meeting.unlink(missing_ok=True)


def load(shape: Shape, checkpoint: Path) -> Net:
    """The network of a checkpoint."""
    net = Net(shape)
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["net"])
    return net


def _work(rank: int, meeting: Path, course: Course) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORKERS
    )
    Trainer(course, rank).run()
    distributed.destroy_process_group()


class Trainer:
    """A worker: a network, its optimizers and how far they are."""

    def __init__(self, course: Course, rank: int) -> None:
        torch.manual_seed(course.seed)
        self.net = Net(course.shape)
        if course.start:
            self.net.load_state_dict(torch.load(course.start, weights_only=True)["net"])
        self.corpus = Corpus(course.data, tokenizer.load(course.vocabulary), seed=course.seed)
        self.rank = rank
        self.steps = round(course.share * len(self.corpus.groups))
        self.step = 0
        self.path = course.checkpoint
        layers = self.net.blk.parameters()
        matrices = [weight for weight in layers if weight.ndim == 2]
        known = {id(weight) for weight in matrices}
        others = [weight for weight in self.net.parameters() if id(weight) not in known]
        self.optimizers = (
            torch.optim.Muon(
                matrices,
                lr=MATRIX_RATE * course.rate,
                weight_decay=DECAY,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                others, lr=OTHER_RATE * course.rate, betas=(0.9, 0.95), weight_decay=0.0
            ),
        )
        self.schedules = [LambdaLR(optimizer, self._rate) for optimizer in self.optimizers]
        if self.path.exists():
            self._restore()

    def run(self) -> None:
        """Train to the last step; the first worker shows the mean loss of the last hundred."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
        )
        losses: list[float] = []
        saved = time.monotonic()
        with Progress(*columns, disable=self.rank > 0) as progress:
            task = progress.add_task(
                self.path.stem, total=self.steps, completed=self.step, loss=float("nan")
            )
            for loss in self._losses():
                losses = [*losses[-99:], loss]
                mean = sum(losses) / len(losses)
                progress.update(task, completed=self.step, loss=mean)
                if self.rank == 0 and time.monotonic() - saved > SAVE_SECONDS:
                    self._save(mean)
                    saved = time.monotonic()
        if self.rank == 0 and losses:
            self._save(sum(losses) / len(losses))

    def _losses(self) -> Iterator[float]:
        while self.step < self.steps:
            ids, weights = (part[self.rank :: WORKERS] for part in self.corpus.batch(self.step))
            tokens = torch.from_numpy(ids.astype(np.int64))
            loss = self._loss(tokens, torch.from_numpy(weights))
            loss.backward()
            self._share_gradients()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
            for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
            self.step += 1
            yield loss.item()

    def _share_gradients(self) -> None:
        """Give every worker the mean of all gradients."""
        gradients = [weight.grad for weight in self.net.parameters() if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        parts = flat.div_(WORKERS).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _loss(self, tokens: Tensor, weights: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.net(tokens[:, :-1])
        losses = functional.cross_entropy(
            logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none"
        )
        counted = weights[:, 1:].flatten()
        return (losses * counted).sum() / counted.sum().clamp(min=1)

    def _rate(self, step: int) -> float:
        """Up, level, and down in a straight line."""
        left = (self.steps - step) / (COOL_DOWN * self.steps)
        return max(0.0, min(1.0, (step + 1) / WARM_UP, left))

    def _save(self, loss: float) -> None:
        state = {
            "shape": asdict(self.net.shape),
            "step": self.step,
            "loss": loss,
            "net": self.net.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedules": [schedule.state_dict() for schedule in self.schedules],
        }
        new = self.path.with_suffix(".new")
        torch.save(state, new)
        new.replace(self.path)

    def _restore(self) -> None:
        state = torch.load(self.path, weights_only=True)
        if state["shape"] != asdict(self.net.shape):
            raise SystemExit(f"{self.path} holds another network: remove it to start anew")
        self.net.load_state_dict(state["net"])
        self.step = state["step"]
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        for schedule, kept in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(kept)
