"""How fast a model is that lies on two and three machines, beside one, and what plans say of it.

    make bench SCRIPTS=bench/split.py [MODEL="model.gguf [draft.gguf]"]

Real servers in network namespaces (root, Linux), each pinned to one processor: it measures itself
there, computes with one thread, and a plan counts with what one thread gives. The cables are those
of Linux, then those of `wire.py`: 1 Gb/s with 0.3 ms, and 100 Mb/s with 5 ms, through which
everything goes, also what measures the links. The model is `mini` with feed-forward layers that are
wider by zeros: a trained model of any size, whose texts are mini's, and its draft is the one
that ships. It is quantized to Q8_0 unless it is given. Workers compute with the weights as they
lie in the file, and a model on one machine is rearranged for processors with AMX: so one machine is
measured both ways. All figures of a cable are medians of rounds in turn.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gguf_writer import Array, write_gguf
from lan import a_lan, missing
from serving import Answer, Serving, serving, wait_until
from wire import inside, shape

from ayllu.gguf.read import GGUFArray, read_header
from ayllu.models.shelf import ASSETS

HIDDEN = 32768
"""Feed-forward width: 163 MB in Q8_0."""
ROUNDS = 3
TRIES = 5
"""How often a machine measures itself until that is about as much as others of the kind."""
NAMES = ("anta", "bari", "chaka")
CONTEXT = 1024
WIRES: dict[str, tuple[float, float] | None] = {
    "a cable within Linux": None,
    "1 Gb/s, 0.3 ms": (0.3, 1000),
    "100 Mb/s, 5 ms": (5.0, 100),
}
STORIES = tuple(f"Tell me a story about {one}." for one in ("a cat", "a dog", "a bird"))
LONG = "There was a fox called Lily who lived in the mountains. " * 30


class Way(NamedTuple):
    """One way to run a model, over so many machines; 0: on one, with the kernels of workers."""

    name: str
    model: str
    nodes: int


WAYS = (
    Way("one, as workers compute", "plain", 0),
    Way("one machine", "plain", 1),
    Way("split over 2", "plain", 2),
    Way("split over 3", "plain", 3),
    Way("one machine, draft", "drafted", 1),
    Way("split over 2, draft", "drafted", 2),
    Way("split over 3, draft", "drafted", 3),
)
PLAIN_KERNELS = {"LLAMA_ARG_REPACK": "0"}
"""Has the engine leave weights as they are in the file, as an RPC worker always does."""


class Figures(NamedTuple):
    """What one way gave: tokens a second, seconds to read a prompt of 512, what it said."""

    rate: float
    first: float
    text: str


class Node:
    """A machine: a server in a namespace, pinned to a processor."""

    def __init__(
        self, namespace: str, home: Path, name: str, cpu: int, stack: ExitStack, **settings: str
    ) -> None:
        self.name = name
        self._namespace = namespace
        with inside(namespace), pinned(cpu):
            self.server: Serving = stack.enter_context(
                serving(home, AYLLU_NODE_NAME=name, **settings)
            )
        stack.callback(self.server.stop)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Ask it something that it has to answer well."""
        with inside(self._namespace):
            answer = self.server.post(path, body, timeout=600)
        if answer.status != 200:
            raise RuntimeError(answer.body.decode())
        return answer

    def get(self, path: str) -> dict[str, Any]:
        """What it shows."""
        with inside(self._namespace):
            shown: dict[str, Any] = self.server.get(path).json
            return shown

    def drop(self, path: str) -> None:
        """Delete something."""
        with inside(self._namespace):
            self.server.request("DELETE", path)

    def create(self, name: str, fields: dict[str, Any]) -> None:
        """Make a model."""
        with inside(self._namespace):
            self.server.make(name, **fields)

    def upload(self, file: Path) -> dict[str, str]:
        """Bring a file; what a model's `files` are then."""
        with inside(self._namespace):
            return {file.name: self.server.upload(file.read_bytes())}

    def tell(self, model: str, prompt: str, tokens: int, *, raw: bool = False) -> dict[str, Any]:
        """An answer, with when its tokens came: `first` and `took` in seconds."""
        options = {"temperature": 0, "num_predict": tokens}
        body = {"model": model, "prompt": prompt, "raw": raw, "think": False, "options": options}
        text, times = "", []
        with inside(self._namespace):
            request = urllib.request.Request(  # noqa: S310 - our own server
                f"{self.server.url}/api/generate", json.dumps(body).encode()
            )
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
                for line in answer:
                    times.append(time.perf_counter() - began)
                    last = json.loads(line)
                    text += last.get("response", "")
        return {**last, "text": text, "first": times[0], "took": times[-1] - times[0]}


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Have what is started run on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[cpu % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def widened(path: Path) -> Path:
    """Mini with feed-forward layers of another width; what is added is zero."""
    mini = ASSETS / "mini-f16.gguf"
    header, data = read_header(mini), np.memmap(mini, np.uint8, "r")
    kvs = {
        key: Array(value.element_type, value.items()) if isinstance(value, GGUFArray) else value
        for key, value in header.kvs.items()
    }
    tensors = {}
    for one in header.tensors:
        start = header.data_offset + one.offset
        kind = np.float16 if one.type_name == "F16" else np.float32
        tensor = data[start : start + one.size].view(kind).reshape(one.shape[::-1])
        if ".ffn_" in one.name and "norm" not in one.name:
            grown = [
                HIDDEN if size == kvs["llama.feed_forward_length"] else size
                for size in tensor.shape
            ]
            tensor = np.pad(
                tensor, [(0, new - old) for old, new in zip(tensor.shape, grown, strict=True)]
            )
        tensors[one.name] = tensor
    kvs["llama.feed_forward_length"] = HIDDEN
    return write_gguf(path, kvs, tensors)


class House:
    """Machines of one ayllu; the first has the models and answers."""

    def __init__(self, nodes: list[Node], plain: Node) -> None:
        self.nodes = nodes
        self.head = nodes[0]
        self.plain = plain
        self.layers = 0

    def meet(self) -> None:
        """Be one ayllu whose machines and links are all measured, one after the other."""
        self.head.post("/api/cluster/up", {})
        for other in self.nodes[1:]:
            code = self.head.post("/api/cluster/invite", {}).json["code"]
            other.post("/api/cluster/join", {"code": code})
        best = 0.0
        for node in self.nodes * TRIES:  # neighbours only ever make a figure worse
            mine = node.get("/api/cluster")["nodes"][0]
            if (mine["memory_gbs"] or 0.0) < 0.85 * best or not best:
                mine = node.post("/api/cluster/measure", {}).json
            best = max(best, mine["memory_gbs"])
        wait_until(self._is_measured, 60, "measuring the links")
        for row in self.rows():
            links = [f"{one['rtt_p50_ms']:.2f} ms {one['mbs']:.0f} MB/s" for one in row["links"]]
            print(
                f"  {row['name']}: {row['memory_gbs']:.1f} GB/s, {row['tflops']:.3f} TFLOPS;",
                ", ".join(links),
            )

    def rows(self) -> list[dict[str, Any]]:
        """The machines, as the first one sees them."""
        found: list[dict[str, Any]] = self.head.get("/api/cluster")["nodes"]
        return found

    def _is_measured(self) -> bool:
        rows = self.rows()
        links = [one for row in rows for one in row["links"] if one["mbs"]]
        measured = [row for row in rows if row["tflops"]]
        return len(measured) == len(NAMES) and len(links) == len(NAMES) * (len(NAMES) - 1)

    def make(self, gguf: Path, draft: Path | None) -> None:
        """The models, with and without a draft, computed by one thread."""
        kept = read_header(gguf).kvs.get("general.file_type") not in {0, 1}
        quantize = {} if kept else {"quantize": "q8_0"}
        parameters = {"num_thread": 1, "num_ctx": CONTEXT}
        for node in (self.head, self.plain):
            fields = {"files": node.upload(gguf), "parameters": parameters}
            node.create("plain", fields | quantize)
        if draft:
            files = self.head.upload(draft)
            self.head.create("drafted", {"from": "plain", "draft_files": files})
        self.layers = self.plan("plain")["layers"]

    def plan(self, model: str) -> dict[str, Any]:
        """What is said of running it."""
        found: dict[str, Any] = self.head.post(
            "/api/cluster/plan", {"model": model, "slots": 1}
        ).json
        return found

    def place(self, way: Way) -> float:
        """Have a model run so; returns the tokens per second that are predicted."""
        if way.nodes < 2:
            found = self.plan(way.model)["candidates"]
            return float(next(one["tokens_per_second"] for one in found if one["kind"] == "local"))
        share = [self.layers // way.nodes] * way.nodes
        share[0] += self.layers - sum(share)
        names = [node.name for node in self.nodes[: way.nodes]]
        body = {"model": way.model, "nodes": names, "split": share, "slots": 1, "stream": False}
        answer = self.head.post("/api/cluster/deployments", body).json
        return float(answer["deployment"]["placement"]["predicted"])

    def measure(self, way: Way, number: int) -> tuple[float, Figures]:
        """Its prediction, and what it gives."""
        predicted, node = self.place(way), self.head if way.nodes else self.plain
        try:
            node.tell(way.model, "Hello", 4)
            told = [node.tell(way.model, story, 100) for story in STORIES]
            tokens = sum(one["eval_count"] - 1 for one in told)
            long = node.tell(way.model, f"{number} {way.name} {LONG}", 1, raw=True)
            return predicted, Figures(
                tokens / sum(one["took"] for one in told),
                long["first"] * 512 / long["prompt_eval_count"],
                " ".join(one["text"] for one in told),
            )
        finally:
            if way.nodes > 1:
                node.drop(f"/api/cluster/deployments/{way.model}")
            node.post("/api/generate", {"model": way.model, "keep_alive": 0})


def report(found: dict[Way, list[tuple[float, Figures]]]) -> None:
    """A row for each way."""
    texts = {figures.text for rounds in found.values() for _, figures in rounds}
    rates = {way: statistics.median(one.rate for _, one in rounds) for way, rounds in found.items()}
    one = rates[WAYS[0]]
    for way, rounds in found.items():
        every = [figures.rate for _, figures in rounds]
        predicted = statistics.median(value for value, _ in rounds)
        first = statistics.median(figures.first for _, figures in rounds)
        said = f"; predicted {predicted:.1f} ({predicted / rates[way]:.2f})" if way.nodes else ""
        print(
            f"  {way.name:<24} {rates[way]:7.1f} tokens/s ({min(every):.1f} to {max(every):.1f}), "
            f"{rates[way] / one:.2f}{said}; prompt of 512: {first:.2f} s"
        )
    print(f"  {len(texts)} different texts; load {os.getloadavg()[0]:.1f}", flush=True)


def main() -> None:
    """Measure over each kind of cable."""
    if why := missing():
        print(why)
        return
    # Others on this machine shall not be in the way; what is started here is the same.
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    files = [Path(word) for word in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        gguf = files[0] if files else widened(Path(folder) / "wide.gguf")
        draft = files[1] if files[1:] else None if files else ASSETS / "mini-draft-f16.gguf"
        ways = [way for way in WAYS if draft or way.model == "plain"]
        for number, (name, cable) in enumerate(WIRES.items()):
            print(f"{name}:", flush=True)
            with a_lan(len(NAMES)) as lan, ExitStack() as stack:
                if cable:
                    shape(lan, *cable)
                nodes = [
                    Node(machine.namespace, Path(folder) / f"{number}-{name}", name, cpu, stack)
                    for cpu, (machine, name) in enumerate(zip(lan.machines, NAMES, strict=True))
                ]
                plain = Node(
                    lan.machines[0].namespace,
                    Path(folder) / f"{number}-plain",
                    "plain",
                    0,
                    stack,
                    **PLAIN_KERNELS,
                )
                house = House(nodes, plain)
                house.meet()
                house.make(gguf, draft)
                found: dict[Way, list[tuple[float, Figures]]] = {way: [] for way in ways}
                for turn in range(ROUNDS):
                    for way in ways:
                        found[way].append(house.measure(way, turn))
                report(found)


if __name__ == "__main__":
    main()
