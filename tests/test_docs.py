"""Documentation that cannot rot: generated pages are current, every route and link is there."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import msgspec
import pytest
from mini.evaluate import table
from msgspec import Struct

from ayllu.server import wire_ollama, wire_openai, wire_responses
from ayllu.server.app import ROUTES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = runpy.run_path(str(ROOT / "tools" / "docs.py"))["PAGES"]
TEXTS = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_is_documented(route: object) -> None:
    path = re.sub(r"\{(\w+)(:path)?\}", r":\1", getattr(route, "path"))  # noqa: B009 - any kind of route
    assert f"`{path}`" in (DOCS / "api.md").read_text("utf-8")


@pytest.mark.parametrize(
    "struct",
    [
        wire_openai.ChatRequest,
        wire_openai.CompletionRequest,
        wire_openai.EmbeddingsRequest,
        wire_openai.RerankRequest,
        wire_responses.ResponsesRequest,
    ],
)
def test_every_field_of_openais_requests_is_documented(struct: type[Struct]) -> None:
    text = (DOCS / "api.md").read_text("utf-8").partition("## OpenAI")[2]
    names = {field.encode_name for field in msgspec.structs.fields(struct)}
    assert {name for name in names if f"`{name}`" not in text} == set()


@pytest.mark.parametrize(
    "struct",
    [wire_ollama.RerankRequest, wire_ollama.TokenizeRequest, wire_ollama.DetokenizeRequest],
)
def test_every_field_of_our_own_requests_is_documented(struct: type[Struct]) -> None:
    text = (DOCS / "api.md").read_text("utf-8").partition("### Rerank and tokens")[2]
    names = {field.encode_name for field in msgspec.structs.fields(struct)}
    assert {name for name in names if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_model_card_has_the_scores_that_were_measured() -> None:
    scores = json.loads((ROOT / "src/ayllu/assets/mini.scores.json").read_text("utf-8"))
    assert table(scores) in (DOCS / "mini.md").read_text("utf-8"), "run `make mini-eval`"


def test_the_readmes_tree_names_every_room() -> None:
    rooms = {path.name for path in (ROOT / "src" / "ayllu").iterdir() if path.is_dir()}
    rooms -= {"__pycache__"}
    for name in ("README.md", "README.es.md"):
        text = (ROOT / name).read_text("utf-8")
        assert {room for room in rooms if f"{room}/" not in text} == set()
