"""A machine's help with another one's training: it computes gradients, and keeps nothing.

It listens on loopback, where the tunnel ends, and works for the first connection that has the key.
With that connection it ends.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from hmac import compare_digest
from pathlib import Path

import numpy as np
import torch

from ayllu.errors import AylluError
from ayllu.trainer.files import read_json
from ayllu.trainer.frames import VERSION, Answer, Hello, Line, Task, Welcome, fingerprint
from ayllu.trainer.gradient import as_batch, gradient, learn, set_weights
from ayllu.trainer.network import Network, open_network
from ayllu.trainer.spec import KEY, LISTENING, WORK, Work

HELLO_SECONDS = 5.0
_log = logging.getLogger(__name__)


def assist(folder: Path) -> int:
    """Help whoever has the folder's key; returns the exit status."""
    key = (folder / KEY).read_text("ascii")
    try:
        network = open_network(read_json(folder / WORK, Work))
    except AylluError as error:
        _say(error.sentence)
        return 1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _say(f"{LISTENING} {listener.getsockname()[1]}")
        line = _greeted(listener, key, fingerprint_of(network))
    try:
        _serve(line, network)
    except (OSError, ValueError) as error:
        _log.info("it is over: %s", error)
    line.close()
    return 0


def fingerprint_of(network: Network) -> str:
    """What stands for the weights that are trained."""
    return fingerprint((name, weight.shape) for name, weight in network.trained().items())


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _greeted(listener: socket.socket, key: str, weights: str) -> Line:
    """The connection of the training that this is for."""
    while True:
        connection, _ = listener.accept()
        line = Line(connection)
        try:
            hello = line.receive(Hello, seconds=HELLO_SECONDS)
            refusal = _refusal(hello, key, weights)
            line.send(Welcome(refusal), seconds=HELLO_SECONDS)
        except (OSError, ValueError) as error:
            refusal = str(error)
        if not refusal:
            return line
        _log.info("refused: %s", refusal)
        line.close()


def _refusal(hello: Hello, key: str, weights: str) -> str:
    if not compare_digest(hello.key.encode(), key.encode()):
        return "it is somebody else's helper"
    if hello.version != VERSION:
        return (
            f"it speaks version {VERSION} of helping with a training, and the training version "
            f"{hello.version}: install the same Ayllu on both"
        )
    if hello.weights != weights:
        return "it would train other weights: install the same Ayllu on both"
    return ""


def _serve(line: Line, network: Network) -> None:
    """Compute one part after the other. Raises OSError when the training is gone, ValueError."""
    weights = list(network.trained().values())
    numbers = np.empty(sum(weight.numel() for weight in weights), np.float32)
    while True:
        task = line.receive(Task, numbers, seconds=None)
        began = time.monotonic()
        seed = np.random.SeedSequence([network.settings.seed, task.step, task.place])
        torch.manual_seed(int(seed.generate_state(1)[0]))
        set_weights(weights, numbers)
        batches = [as_batch(network, examples) for examples in task.batches]
        loss = learn(network, batches, task.counted).item()
        found = gradient(weights)
        for weight in weights:
            weight.grad = None
        seconds = time.monotonic() - began
        line.send(Answer(step=task.step, loss=loss, seconds=seconds), found, seconds=None)
