"""Documentation that cannot rot: generated pages are current, every route and link is there."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest
from compat_page import documented
from mini.evaluate import table

from ayllu.server.openapi import Endpoint
from ayllu.server.routes import ROUTES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = runpy.run_path(str(ROOT / "tools" / "docs.py"))["PAGES"]
TEXTS = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_is_documented(route: Endpoint) -> None:
    assert f"`{documented(route.path)}`" in (DOCS / "api.md").read_text("utf-8")


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
