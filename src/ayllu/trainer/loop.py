"""The loop that trains: a step after the other, each with its report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ayllu.trainer.batches import Batch, summed_loss
from ayllu.trainer.checkpoint import (
    read_checkpoint,
    read_tensors,
    write_checkpoint,
    write_tensors,
)
from ayllu.trainer.examples import Course, Example, Examples
from ayllu.trainer.files import replacing
from ayllu.trainer.gradient import add_gradient, as_batch, flat, learn
from ayllu.trainer.memory import peak
from ayllu.trainer.network import Network
from ayllu.trainer.noise import Noise
from ayllu.trainer.spec import BEST, Report, Settings
from ayllu.trainer.team import Team


class Best(NamedTuple):
    """The least validation loss so far, after which step, and how many were worse since."""

    loss: float = math.inf
    step: int = 0
    worse: int = 0


class Trainer:
    """A network in training by its `settings`; `step` is how many steps were done.

    `folder` is the job's. Where it holds a checkpoint, training goes on from there. With a `team`
    its machines compute parts of the steps.
    """

    def __init__(
        self, folder: Path, network: Network, examples: Examples, team: Team | None = None
    ) -> None:
        self.course = Course(examples, network.settings)
        self.best = Best()
        self.step = self.tokens = 0
        self._folder = folder
        self._network = network
        self._team = team
        self.settings = network.settings
        self._examples = examples
        self._noise = Noise(examples, network.settings, network.marks)
        self._weights = network.trained()
        self._optimizer = make_optimizer(network)
        self._earlier = 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long training has taken, in all its runs."""
        return self._earlier + time.monotonic() - self._began

    @property
    def stops(self) -> bool:
        """Whether the validation loss has not become better for too long."""
        return 0 < self.settings.patience <= self.best.worse

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        state = read_checkpoint(self._folder)
        if state is None:
            return
        self._load(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if state["cuda_random"] is not None:
            torch.cuda.set_rng_state(state["cuda_random"])
        self.best = Best(*state["best"])
        self.step, self.tokens, self._earlier = state["step"], state["tokens"], state["seconds"]

    def run(self, cancelled: Callable[[], bool]) -> Iterator[Report]:
        """Train; yields a report after each step. Ends early by `stops` or once `cancelled`.

        Raises OSError where a checkpoint cannot be written.
        """
        while self.step < self.course.steps and not self.stops and not cancelled():
            loss, rate = self.advance(self.step)
            self.step += 1
            last = self.step == self.course.steps
            validation = self._evaluate_at(self.step, last=last)
            saves = self._due(self.settings.checkpoint_every, last=last) or cancelled()
            if saves:
                self._save()
            yield Report(
                step=self.step,
                steps=self.course.steps,
                epoch=round(self.course.epoch(self.step), 4),
                loss=loss,
                learning_rate=rate,
                tokens=self.tokens,
                seconds=round(self.seconds, 3),
                validation_loss=validation,
                peak=peak(),
                checkpoint=saves,
            )

    def advance(self, step: int) -> tuple[float, float]:
        """Do a step; returns the mean loss per target before it, and the learning rate."""
        began = time.monotonic()
        batches = self.course.batches(step)
        parts = [batches] if self._team is None else self._team.divide(batches)
        chosen = [[self._chosen(step, batch) for batch in part] for part in parts]
        made = [[as_batch(self._network, batch) for batch in part] for part in chosen]
        every = [batch for part in made for batch in part]
        counted, tokens = sum(one.counted for one in every), sum(one.size for one in every)
        if self._team is not None and len(parts) > 1:
            total = self._advance_together(self._team, step, chosen[1:], made, counted)
        else:
            total = learn(self._network, every, counted)
        torch.nn.utils.clip_grad_norm_(self._weights.values(), self.settings.clip)
        rate = learning_rate(step, self.course.steps, self.settings)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.tokens += tokens
        loss = total.item()
        if self._team is not None:
            self._team.note(tokens, time.monotonic() - began)
        return loss, rate

    def evaluate(self) -> float:
        """The mean loss over all targets of what is held back."""
        held, size = self._examples.held, self.settings.batch
        total, counted = 0.0, 0
        self._network.model.eval()
        with torch.no_grad(), self._network.computing():
            for start in range(0, len(held), size):
                batch = as_batch(self._network, held[start : start + size])
                total += summed_loss(self._network.model, batch).item()
                counted += batch.counted
        self._network.model.train()
        return total / counted

    def take_best(self) -> None:
        """Go back to the best weights, if training stops for lack of better ones."""
        self._optimizer.state.clear()
        if self.settings.patience and 0 < self.best.step < self.step:
            self._load(read_tensors(self._folder / BEST))

    def _advance_together(
        self,
        team: Team,
        step: int,
        theirs: list[list[list[Example]]],
        made: list[list[Batch]],
        counted: int,
    ) -> Any:  # noqa: ANN401 - a tensor
        """Gather a step's gradient, a part of it here and each other one by a helper of the team.

        What one does not compute is computed here.
        """
        team.ask(step, counted, theirs, flat(self._weights.values()))
        total = learn(self._network, made[0], counted)
        for part, answer in zip(made[1:], team.answers(), strict=True):
            if answer is None:
                total += learn(self._network, part, counted)
            else:
                loss, gradient = answer
                total += loss
                add_gradient(self._weights.values(), gradient)
        return total

    def _chosen(self, step: int, places: list[int]) -> list[Example]:
        training = self._examples.training
        return [self._noise.change(training[place], step, place) for place in places]

    def _due(self, every: int, *, last: bool) -> bool:
        return bool(every) and (last or self.step % every == 0)

    def _evaluate_at(self, step: int, *, last: bool) -> float | None:
        if not self._examples.held or not self._due(self.settings.evaluate_every, last=last):
            return None
        loss = self.evaluate()
        if loss < self.best.loss:
            self.best = Best(loss, step)
            if self.settings.patience:
                with replacing(self._folder / BEST) as new:
                    write_tensors(new, self._own_weights())
        else:
            self.best = self.best._replace(worse=self.best.worse + 1)
        return loss

    def _save(self) -> None:
        on_cuda = self._network.device == "cuda"
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "best": tuple(self.best),
            "weights": self._own_weights(),
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state() if on_cuda else None,
        }
        write_checkpoint(self._folder, self.step, state)

    def _own_weights(self) -> dict[str, Any]:
        return {name: weight.detach() for name, weight in self._weights.items()}

    def _load(self, weights: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(weights[name])


def make_optimizer(network: Network) -> Any:  # noqa: ANN401 - of PyTorch's
    """AdamW for what is trained; vectors, which are norms and biases, do not decay."""
    weights = list(network.trained().values())
    matrices = [weight for weight in weights if weight.ndim > 1]
    vectors = [weight for weight in weights if weight.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": network.settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)


def learning_rate(step: int, steps: int, settings: Settings) -> float:
    """The rate of a step, counted from 0: up during the warm-up, then down as the schedule says."""
    warm = round(settings.warmup * steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / (warm + 1)
    share = (step - warm) / max(1, steps - warm)
    falls = {"cosine": (1 + math.cos(math.pi * share)) / 2, "linear": 1 - share, "constant": 1.0}
    return settings.learning_rate * falls[settings.schedule]
