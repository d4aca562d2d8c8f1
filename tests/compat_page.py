"""Reads docs/compat.md: its sections, their tables, and what becomes of each field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ayllu.server.openapi import Endpoint

PAGE = Path(__file__).resolve().parent.parent / "docs" / "compat.md"
STATUSES = ("honoured", "passed on", "ignored", "refused", "as in")


class Row(NamedTuple):
    """What a table says of a field. Of an answer's fields the status is `sent`."""

    status: str
    text: str

    @property
    def is_as_in(self) -> bool:
        """Whether the row of the same field in another table counts."""
        return self.status == "as in" or self.text.startswith("as in [")

    @property
    def links(self) -> list[str]:
        """The sections that say more of what is in the field."""
        return re.findall(r"\]\(#([^)]+)\)", self.text)


class Section(NamedTuple):
    """A heading and the tables under it, of a request and of an answer."""

    title: str
    request: dict[str, Row]
    answer: dict[str, Row]


def read_page() -> dict[str, Section]:
    """The sections by their anchors."""
    sections: dict[str, Section] = {}
    rows: dict[str, Row] = {}
    section = Section("", {}, {})
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("#"):
            section = Section(line.lstrip("# ").replace("`", ""), {}, {})
            sections[_anchor(section.title)] = section
        elif line.startswith("|"):
            first, *others = (cell.strip() for cell in line.strip("|").split("|"))
            names = re.findall(r"`([^`]+)`", first)
            if not names and not first.startswith("-"):
                rows = section.answer if first == "answer" else section.request
            for name in names:
                assert name not in rows, f"{section.title} has {name} twice"
                rows[name] = Row("sent" if rows is section.answer else others[0], others[-1])
    return sections


def documented(path: str) -> str:
    """A route's path as the pages write it."""
    return re.sub(r"\{(\w+)(:path)?\}", r":\1", path)


def title(route: Endpoint) -> str:
    """The heading of a route."""
    return f"{route.method} {documented(route.path)}"


def _anchor(title: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
