"""The snippets of docs/clients.md, run as they stand but for the server's address."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import CLIENTS, Snippet, node, python_for, run_client, snippets
from serving import Serving


@pytest.mark.parametrize("snippet", snippets("Libraries"), ids=lambda snippet: snippet.title)
def test_a_snippet_of_the_page_says_what_the_page_says(
    snippet: Snippet, single: Serving, tmp_path: Path
) -> None:
    code = snippet.to(single.url)
    commands: dict[str, list[str | Path]] = {
        "python": [python_for(code), "-c", code],
        "js": [node(), "--input-type=module", "--eval", code],
        "sh": ["sh", "-e", "-c", code],
    }
    folder = CLIENTS / "js" if snippet.language == "js" else tmp_path
    done = run_client(commands[snippet.language], tmp_path, folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "Two plus two is four."
