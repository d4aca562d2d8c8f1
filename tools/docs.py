#!/usr/bin/env python3
"""Writes the pages that are made from the code: docs/settings.md and docs/cli.md.

`make docs` runs it; a test fails when a page is not what it would write.
"""

from __future__ import annotations

from pathlib import Path

import click

from ayllu.cli.commands import ayllu
from ayllu.cli.entries import COMMANDS
from ayllu.config import SETTINGS

DOCS = Path(__file__).resolve().parent.parent / "docs"


def settings_page() -> str:
    """All settings in a table."""
    lines = [
        "# Settings",
        "",
        "A setting is taken from its `AYLLU_` variable, else from the other one, else from",
        "`config.toml` in the home folder (under the name in the first column), else it has the",
        "default. Durations are Go's (`1h30m`, `90s`); sizes may end in `K`, `M` or `G`.",
        "",
        "| name | variables | default | meaning |",
        "|---|---|---|---|",
    ]
    for setting in SETTINGS:
        variables = f"`{setting.variable}`, `{setting.other_variable}`"
        default = f"`{setting.default}`" if setting.default else ""
        lines.append(f"| `{setting.name}` | {variables} | {default} | {setting.help} |")
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """The help of every command."""
    parts = ["# The command line", "", "```", _help(ayllu, "ayllu"), "```"]
    with click.Context(ayllu) as context:
        for name in COMMANDS:
            command = ayllu.get_command(context, name)
            if command is not None:
                parts += _sections(command, f"ayllu {name}")
    return "\n".join(parts) + "\n"


def _sections(command: click.Command, path: str) -> list[str]:
    """A command's section, and those of its own commands."""
    parts = ["", f"## {path}", "", "```", _help(command, path), "```"]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            parts += _sections(inner, f"{path} {name}")
    return parts


def _help(command: click.Command, path: str) -> str:
    with click.Context(command, info_name=path, max_content_width=80, terminal_width=80) as context:
        return command.get_help(context)


PAGES = {"settings.md": settings_page, "cli.md": cli_page}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
