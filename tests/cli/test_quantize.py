"""`ayllu quantize`: names and mistakes with a server that is none, the rest with a real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.shell import Shell
from serving import Serving, serving

from ayllu.cli.quantize import LONGEST_TEXT, quantized_name
from ayllu.models.name import parse_name
from ayllu.models.tools import MAX_TEXT_BYTES

MADE = {"lines": [{"status": "success"}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.mark.parametrize(
    ("model", "kind", "name"),
    [
        ("mini", "q4_k_m", "mini:q4_k_m"),
        ("chat:latest", "Q4_K_M", "chat:q4_k_m"),
        ("llama3:8b", "q8_0", "llama3:8b-q8_0"),
        ("llama3:8b-instruct-fp16", "q4_0", "llama3:8b-instruct-q4_0"),
        ("llama3:8b-BF16", "iq4_xs", "llama3:8b-iq4_xs"),
        ("x:f16", "q4_0", "x:q4_0"),
        ("x:q8_0", "iq2_xxs", "x:iq2_xxs"),
        ("x:mxfp4_moe", "tq1_0", "x:tq1_0"),
        ("x:faq", "q4_0", "x:faq-q4_0"),
        ("hf.co/somebody/thing:F16", "Q6_K", "hf.co/somebody/thing:q6_k"),
    ],
)
def test_the_new_tag_ends_in_the_type(model: str, kind: str, name: str) -> None:
    assert quantized_name(parse_name(model), kind) == name


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["mini", "q4_0"], {"model": "mini:q4_0", "quantize": "q4_0"}),
        (["mini", "q4_0", "small"], {"model": "small", "quantize": "q4_0"}),
        (["mini", "q4_0", "--imatrix"], {"model": "mini:q4_0", "imatrix": True}),
        (["mini", "q4_0", "--requantize"], {"model": "mini:q4_0", "requantize": True}),
    ],
)
def test_what_is_asked_for_reaches_the_server(
    shell: Shell, arguments: list[str], body: dict[str, Any]
) -> None:
    fake = shell.serve({"POST /api/create": MADE})
    assert shell.run("quantize", *arguments).returncode == 0
    usual = {"from": "mini", "quantize": "q4_0", "requantize": False}
    assert fake.asked("POST /api/create") == [usual | body]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mini"], "give a TYPE, such as q4_k_m, or --plan"),
        (["mini", "--plan", "--measure"], "--plan makes nothing and measures nothing"),
        (["mini", "q4_0", "--plan"], "--plan makes nothing and measures nothing"),
        (["mini", "q4_0", "--text", "x"], "--text, --chunks and --context are for --measure"),
        (["mini", "q4_0", "--chunks", "x"], "'x' is not a valid integer"),
        (["--imatrix", "mini", "q4_0", "x"], "there is no file mini: --imatrix goes last"),
        (["mini", "q4_0", "--measure", "--text", "gone"], "gone cannot be read: No such file"),
        (["mini", "q4_0", "--measure", "--text", "."], ". cannot be read: Is a directory"),
        (["mini", "q4_0", "--measure", "--text", "latin"], "latin is not UTF-8 (byte 4)"),
        (["mini", "q4_0", "--measure", "--text", "huge"], "huge is larger than 16 MiB: a few"),
        (["a b", "q4_0"], "invalid model name"),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(
    shell: Shell, arguments: list[str], sentence: str
) -> None:
    (shell.folder / "latin").write_bytes(b"caf\xe9")
    with (shell.folder / "huge").open("wb") as file:
        os.truncate(file.fileno(), 1 << 30)
    fake = shell.serve({"POST /api/create": MADE})
    done = shell.run("quantize", *arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert fake.asked("POST /api/create") == []


def test_the_longest_text_is_what_the_server_takes() -> None:
    assert LONGEST_TEXT == MAX_TEXT_BYTES


def test_a_model_is_made_and_measured_before_and_after(server: Serving, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abcdefghijklmnopqrstuvwxyz " * 200)
    reading = ["--measure", "--text", str(text), "--context", "64", "--chunks", "4"]
    done = server.ayllu("quantize", "mini", "q8_0", *reading)
    assert done.status == 0, done.stderr
    header, before, after = (line.split() for line in done.stdout.splitlines())
    assert header == ["NAME", "TYPE", "SIZE", "BITS/WEIGHT", "PERPLEXITY", "CHANGE"]
    assert before[:6] == ["mini", "F16", "10", "MB", "16.01", before[5]]
    assert after[:6] == ["mini:q8_0", "Q8_0", "5.6", "MB", "8.51", after[5]]
    assert float(after[5]) == pytest.approx(float(before[5]), rel=0.1)
    assert after[-1] == f"{float(after[5]) / float(before[5]) - 1:+.2%}"
    assert "quantizing F16 model to Q8_0" in done.stderr.splitlines()
    assert "measuring mini:q8_0" in done.stderr.splitlines()
    alone = server.ayllu("quantize", "mini", *reading)
    assert alone.stdout.splitlines()[1].split() == before


def test_a_matrix_comes_of_a_file(server: Serving, tmp_path: Path) -> None:
    text = tmp_path / "my text.txt"
    text.write_text("What colour is the sky? It is blue. " * 100)
    done = server.ayllu("quantize", "mini", "iq2_xs", "small", f"--imatrix={text}")
    assert done.status == 0, done.stderr
    assert "computing the importance matrix" in done.stderr.splitlines()
    assert "small:latest" in server.ayllu("list").stdout
    refused = server.ayllu("quantize", "mini", "iq2_xs")
    assert (refused.status, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: IQ2_XS needs an importance matrix: give one with")


def test_a_plan_says_what_fits(server: Serving) -> None:
    done = server.ayllu("quantize", "mini", "--plan")
    assert done.status == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["TYPE", "SIZE", "BITS/WEIGHT", "MEMORY", "FITS", "IMATRIX"]
    by_type = {row[0]: row for row in rows[1:] if row}
    assert by_type["F16"][1] == "(now)"
    assert by_type["Q4_K_M"][-1] == "yes"
    assert by_type["IQ1_S"][-1] == "needed"
    assert "With 1024 tokens of context;" in done.stdout
    assert done.stdout.endswith("with room to spare: ayllu quantize mini Q8_0\n")
