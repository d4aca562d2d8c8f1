"""What all tests share: a small real model, and a real server that has it."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from gguf_maker import CHATML, CHATML_TOOLS_THINK, make_successor_model
from projector_maker import make_projector
from serving import KNOWN, Serving, serving
from warm_python import warm

from ayllu.cluster.record import Speed
from ayllu.errors import UnsupportedError
from ayllu.models.shelf import ASSETS
from ayllu.torch_python import find_torch_python

# Hundreds of servers and commands start here: what Python compiles for one, the next finds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Measuring the machine takes all cores for seconds, and hundreds of servers would do it here.
KNOWN.append(Speed(tflops=0.1, memory_gbs=10.0, disk_mbs=1000.0, measured_at=1.0))

# The suite tries the same examples every time; HYPOTHESIS_PROFILE=random looks for new ones.
# None is timed: on a busy machine a slow example is no bug.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("random", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def base_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a chat template; it goes on with the alphabet."""
    return make_successor_model(tmp_path_factory.mktemp("models") / "base.gguf")


@pytest.fixture(scope="session")
def chat_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a chat template; it answers `abc...` up to `z` and stops."""
    path = tmp_path_factory.mktemp("models") / "chat.gguf"
    return make_successor_model(path, chat_template=CHATML, end_after="z")


@pytest.fixture(scope="session")
def tool_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that thinks first, then calls the tool `add`."""
    path = tmp_path_factory.mktemp("models") / "tool.gguf"
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
    return make_successor_model(
        path,
        chat_template=CHATML_TOOLS_THINK,
        replies={"\n": f"<think>\nLet me see.\n</think>\n\n{call}"},
    )


@pytest.fixture(scope="session")
def endless_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a chat template and a long context whose answers never stop by themselves."""
    path = tmp_path_factory.mktemp("models") / "endless.gguf"
    return make_successor_model(path, chat_template=CHATML, context=8192)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, base_gguf: Path, chat_gguf: Path, tool_gguf: Path
) -> Iterator[Serving]:
    """A server with the models `base`, `chat` and `tool`, shared by a module's tests."""
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("base", base_gguf)
        running.create("chat", chat_gguf)
        running.create("tool", tool_gguf)
        yield running


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with models that have a projector, shared by a module's tests.

    `both` sees and hears; `seeing` and `hearing` have one sense each, `blind` none. `go` and
    `legacy` are `both` with a Go template, `early` has a Jinja template with nothing at its end.
    """
    folder = tmp_path_factory.mktemp("media")
    with serving(tmp_path_factory.mktemp("home")) as running:
        for name, template in (
            ("model", CHATML),
            ("early", "{% for m in messages %}{{ m.content }}{% endfor %}"),
        ):
            make_successor_model(
                folder / f"{name}.gguf",
                chat_template=template,
                end_after="z",
                context=2048,
                perceives=True,
            )
        both = make_projector(folder / "both.gguf")
        running.create("blind", folder / "model.gguf")
        running.create("both", folder / "model.gguf", both)
        running.create("early", folder / "early.gguf", both)
        for name, sees in (("seeing", True), ("hearing", False)):
            projector = make_projector(folder / f"{name}.gguf", sees=sees, hears=not sees)
            running.create(name, folder / "model.gguf", projector)
        by_message = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}"
        running.make("go", **{"from": "both", "template": by_message})
        running.make("legacy", **{"from": "both", "template": "{{ .System }}USER {{ .Prompt }}\n"})
        yield running


@pytest.fixture
def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def cold_python() -> Path:
    """The Python that has PyTorch, which `make test` puts beside ours."""
    try:
        return find_torch_python(os.environ.get("AYLLU_TORCH_PYTHON", ""))
    except UnsupportedError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def torch_python(cold_python: Path) -> Iterator[Path]:
    """The same, with its PyTorch imported already."""
    with (
        tempfile.TemporaryDirectory(prefix="warm") as folder,
        warm(cold_python, Path(folder)) as it,
    ):
        yield it


@pytest.fixture(scope="session")
def mini_gguf() -> Path:
    """The model that ships with Ayllu."""
    return ASSETS / "mini-f16.gguf"
