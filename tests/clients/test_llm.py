"""The command `llm`, with its plugin llm-ollama, against our server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from driving import program, run_client
from serving import Serving

MINI = ("-m", "ollama/mini", "-o", "temperature", "0")
WEATHER = """def get_weather(city: str) -> str:
    "Get the weather of a city"
    return '{"temperature": 21}'
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llm")


def llm(server: Serving, home: Path, *arguments: str) -> tuple[str, str]:
    """What the command says, and what it shows beside that; it must succeed."""
    settings = {"OLLAMA_HOST": server.url, "LLM_USER_PATH": str(home)}
    done = run_client([program("clients", "llm"), *arguments], home, settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_it_answers_and_shows_the_thinking(single: Serving, home: Path) -> None:
    said, shown = llm(single, home, *MINI, "What is two plus two?")
    assert said == "Two plus two is four."
    assert "2 + 2 = 4" in shown


def test_it_answers_whole(single: Serving, home: Path) -> None:
    options = (*MINI, "-o", "think", "false", "--no-stream")
    assert llm(single, home, *options, "What is two plus two?") == ("Two plus two is four.", "")


def test_it_gets_structured_answers(single: Serving, home: Path) -> None:
    question = "As JSON with name, age: Ana is 12 years old and lives in Lima."
    said, _ = llm(single, home, *MINI, "--schema", "name, age int", question)
    assert json.loads(said) == {"name": "Ana", "age": 12}


def test_it_runs_tools_until_there_is_an_answer(single: Serving, home: Path) -> None:
    question = "What is the weather like in Paris?"
    said, shown = llm(single, home, *MINI, "--functions", WEATHER, "--td", question)
    assert said == "It is 21 degrees in Paris."
    assert "Tool call: get_weather({'city': 'Paris'})" in shown


def test_it_lists_the_models_and_what_they_can(single: Serving, home: Path) -> None:
    rows = llm(single, home, "ollama", "models")[0].splitlines()
    mini = next(row for row in rows if row.startswith("mini:latest"))
    assert mini.endswith("completion, insert, thinking, tools")
