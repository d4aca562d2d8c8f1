from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayllu.errors import BadRequestError
from ayllu.models.name import (
    full_name,
    is_valid,
    manifest_path,
    parse_name,
    short_name,
    split_source,
)
from ayllu.types import ModelName

GOOD = {
    "mini": ("registry.ollama.ai", "library", "mini", "latest", "mini:latest"),
    "mini:1b": ("registry.ollama.ai", "library", "mini", "1b", "mini:1b"),
    "me/mini": ("registry.ollama.ai", "me", "mini", "latest", "me/mini:latest"),
    "me/mini:q4_K-M.2": ("registry.ollama.ai", "me", "mini", "q4_K-M.2", "me/mini:q4_K-M.2"),
    "h/me/mini": ("h", "me", "mini", "latest", "h/me/mini:latest"),
    "localhost:5000/me/mini": (
        "localhost:5000",
        "me",
        "mini",
        "latest",
        "localhost:5000/me/mini:latest",
    ),
    "https://hf.co/u/Repo-GGUF:Q8_0": ("hf.co", "u", "Repo-GGUF", "Q8_0", "hf.co/u/Repo-GGUF:Q8_0"),
    "http://h:80/n/m:t": ("h:80", "n", "m", "t", "h:80/n/m:t"),
    "REGISTRY.ollama.ai/Library/m": ("REGISTRY.ollama.ai", "Library", "m", "latest", "m:latest"),
    "registry.ollama.ai/me/m": ("registry.ollama.ai", "me", "m", "latest", "me/m:latest"),
    "_m": ("registry.ollama.ai", "library", "_m", "latest", "_m:latest"),
    "m" * 80: ("registry.ollama.ai", "library", "m" * 80, "latest", f"{'m' * 80}:latest"),
}

BAD = [
    "",
    " ",
    "a b",
    ":",
    "m:",
    ":t",
    "/m",
    "m/",
    "a//m",
    "a/b/c/d",
    "../m",
    "a/../m",
    "..",
    ".",
    ".m",
    "-m",
    "m:..",
    "m:../../x",
    "a/b/..",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\models\\x",
    "a\\b",
    "m:t:u",
    "n.s/m",
    "m@sha256",
    "m%2e%2e",
    "m\n",
    "m\x00",
    "modèle",
    "m" * 81,
    "m:" + "t" * 81,
    "h" * 351 + "/n/m",
    "https://m",
    "https://n/m",
    "ftp://h/n/m",
    "://h/n/m",
    "http:///n/m",
    "hf.co/n.s/m",
]


@pytest.mark.parametrize("text", GOOD)
def test_names_are_filled_in(text: str) -> None:
    *parts, short = GOOD[text]
    name = parse_name(text)
    assert name == ModelName(*parts)
    assert short_name(name) == short
    assert full_name(name) == "{}/{}/{}:{}".format(*parts)


@pytest.mark.parametrize("text", BAD)
def test_other_texts_are_no_names(text: str) -> None:
    with pytest.raises(BadRequestError, match=r"^invalid model name$"):
        parse_name(text)


first = st.sampled_from("abzAZ09_")
rest = st.text(st.sampled_from("abzAZ09_-."), max_size=20)
plain = st.builds("".join, st.tuples(first, rest))
NAMES = st.builds(
    ModelName,
    st.builds("{}{}".format, plain, st.sampled_from(["", ":5000"])),
    st.builds("".join, st.tuples(first, rest)).map(lambda text: text.replace(".", "")),
    plain,
    plain,
)


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("x", "x", ""),
        ("x:7b", "x:7b", ""),
        ("x:local", "x", "local"),
        ("x:7b:Local", "x:7b", "local"),
        ("x:CLOUD", "x", "cloud"),
        ("x:120b-cloud", "x:120b", "cloud"),
        ("h:80/n/x-cloud", "h:80/n/x-cloud", ""),
        ("cloud", "cloud", ""),
        (":local", "", "local"),
        ("x:local:local", "x:local", "local"),
    ],
)
def test_the_end_of_a_name_may_tell_where_a_model_runs(text: str, name: str, source: str) -> None:
    assert split_source(text) == (name, source)


@pytest.mark.parametrize("text", ["x:local:cloud", "x:Cloud:LOCAL"])
def test_a_name_has_one_source(text: str) -> None:
    with pytest.raises(BadRequestError, match="use either :local or :cloud, not both"):
        split_source(text)


@given(NAMES)
@settings(deadline=None)
def test_a_full_name_reads_back(name: ModelName) -> None:
    assert parse_name(full_name(name)) == name
    short = parse_name(short_name(name))
    assert full_name(short).lower() == full_name(name).lower()


@given(st.text(max_size=40))
@settings(deadline=None)
def test_no_text_leads_out_of_the_folder(text: str) -> None:
    try:
        name = parse_name(text)
    except BadRequestError:
        return
    assert is_valid(name)
    path = PurePosixPath(manifest_path(name))
    assert len(path.parts) == 4
    assert not path.is_absolute()
    assert ".." not in path.parts


@pytest.mark.parametrize(
    "parts",
    [
        ("c:", "n", "m", "t"),
        ("h:80", "n", "m", "t"),
        ("h", "con", "m", "t"),
        ("h", "n", "nul.x", "t"),
        ("h", "n", "m.", "t"),
        ("h", "n", "m", "LPT1"),
    ],
)
def test_names_that_windows_reads_as_something_else_are_refused_there(
    parts: tuple[str, str, str, str],
) -> None:
    name = ModelName(*parts)
    assert manifest_path(name, windows=False) == "/".join(parts)
    with pytest.raises(BadRequestError, match="Windows cannot store"):
        manifest_path(name, windows=True)


def test_a_name_made_by_hand_is_checked_too() -> None:
    with pytest.raises(BadRequestError, match="invalid model name"):
        manifest_path(ModelName("h", "..", "m", "t"))
