"""Coding agents against our server: docs/clients.md as it stands, and a tool of theirs that runs.

Their prompts are long, so the model is one whose answers are known, with a long context: it calls
the agent's tool where a user spoke last, and says that it is done once the tool has spoken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from driving import Snippet, run_client, snippets
from gguf_maker import CHATML_TOOLS_THINK, make_successor_model
from serving import Serving, serving

from ayllu.gguf.read import GGUFArray, read_header
from ayllu.models.shelf import ASSETS

pytestmark = pytest.mark.agents

CONTEXT = 65536
SUM = "Two plus two is four."
DONE = "Planted, it grows."
PLANT = "echo quinoa > seed.txt"
LAST = "<|im_start|>assistant\n"
LAST_BY_ROLE = (
    "<|im_start|>assistant' + ('\t' if messages | selectattr('role', 'equalto', 'tool') | list"
    " else '\n') + '"
)
"""How a prompt ends, on which alone the answer depends: another way once a tool has spoken."""

SECTIONS = {
    title: list(found)
    for title, found in groupby(snippets("Coding agents"), lambda snippet: snippet.title)
}
FILES = {"toml": ".codex/config.toml", "json": "opencode.json"}
"""Where the page says that its configurations go, seen from a home that is also the project."""


def make_model(path: Path, replies: Mapping[str, str]) -> Path:
    """A model for long prompts: one head, and mini's merges, but for those of lines' ends."""
    merges = read_header(ASSETS / "mini-f16.gguf").kvs["tokenizer.ggml.merges"]
    assert isinstance(merges, GGUFArray)
    template = CHATML_TOOLS_THINK.replace(LAST, LAST_BY_ROLE)
    assert template != CHATML_TOOLS_THINK
    return make_successor_model(
        path,
        context=CONTEXT,
        chat_template=template,
        replies=replies,
        heads=1,
        merges=[merge for merge in map(str, merges.items()) if "Ċ" not in merge],
        dtype=np.float16,
    )


def calling(tool: str, arguments: Mapping[str, str]) -> dict[str, str]:
    """The replies of a model that calls a tool and is content with whatever comes of it."""
    call = json.dumps({"name": tool, "arguments": arguments})
    return {"\n": f"<tool_call>\n{call}\n</tool_call>", "\t": DONE}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with `coder`, which knows the answer to the page's question."""
    home = tmp_path_factory.mktemp("home")
    with serving(home) as running:
        create(running, home, {"\n": SUM})
        yield running


def create(server: Serving, folder: Path, replies: Mapping[str, str]) -> None:
    model = make_model(folder / "coder.gguf", replies)
    server.create("coder", model, parameters={"num_ctx": CONTEXT})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that the agents work in, with a repository as they like it."""
    run("git init --quiet", tmp_path)
    # Aider looks for models' prices on the net unless it has some that are a day old at most.
    prices = tmp_path / ".aider" / "caches" / "model_prices_and_context_window.json"
    prices.parent.mkdir(parents=True)
    prices.write_text('{"none": {}}', "ascii")
    return tmp_path


def run(code: str, project: Path) -> list[str]:
    """The lines that a command says; it must succeed."""
    done = run_client(["sh", "-e", "-c", code], project)
    assert done.returncode == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines()]


def configure(section: list[Snippet], project: Path, url: str) -> list[str]:
    """Write the page's configurations; what is left are its commands."""
    for snippet in section:
        if snippet.language in FILES:
            path = project / FILES[snippet.language]
            path.parent.mkdir(exist_ok=True)
            path.write_text(snippet.to(url), "utf-8")
    return [snippet.to(url) for snippet in section if snippet.language == "sh"]


@pytest.mark.parametrize("title", SECTIONS)
def test_an_agent_answers_as_the_page_says(server: Serving, project: Path, title: str) -> None:
    commands = configure(SECTIONS[title], project, server.url)
    assert commands
    for command in commands:
        assert SUM in run(command, project)


@pytest.mark.parametrize(
    ("title", "tool", "argument", "options"),
    [
        ("Claude Code", "Bash", "command", "--allowedTools Bash"),
        ("Codex", "exec_command", "cmd", "--dangerously-bypass-approvals-and-sandbox"),
        ("opencode", "bash", "command", ""),
    ],
)
def test_an_agent_runs_a_tool_and_tells_its_model(
    tmp_path_factory: pytest.TempPathFactory,
    project: Path,
    title: str,
    tool: str,
    argument: str,
    options: str,
) -> None:
    home = tmp_path_factory.mktemp("home")
    with serving(home) as server:
        create(server, home, calling(tool, {argument: PLANT}))
        command = configure(SECTIONS[title], project, server.url)[0].rstrip()
        assert DONE in run(f"{command} {options}", project)
    assert (project / "seed.txt").read_text("ascii") == "quinoa\n"


def test_codex_pulls_a_model_and_says_that_its_context_is_too_small(
    server: Serving, project: Path
) -> None:
    command = configure(SECTIONS["Codex"], project, server.url)[-1].replace("coder:latest", "mini")
    done = run_client(["sh", "-e", "-c", command], project)
    assert done.returncode == 1
    assert "Pulling model mini" in done.stderr
    assert "success" in done.stderr
    assert "ran out of room in the model's context window" in done.stderr


def test_aider_edits_a_file(tmp_path_factory: pytest.TempPathFactory, project: Path) -> None:
    home = tmp_path_factory.mktemp("home")
    with serving(home) as server:
        create(server, home, {"\n": "seed.txt\n```\nquinoa\n```"})
        (command,) = configure(SECTIONS["aider"], project, server.url)
        run(f"{command.rstrip()} --yes-always --no-git seed.txt", project)
    assert (project / "seed.txt").read_text("ascii") == "quinoa\n"
