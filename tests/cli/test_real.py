"""The command line against a real server with a real engine: what a new user does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from gguf_maker import make_adapter, walk
from serving import Serving, ayllu, clean_environment, wait_until
from terminals import on_a_terminal, read_until

from ayllu.cli.local import file_model_name


def test_a_file_is_run_by_its_path_and_taken_in_once(
    server: Serving, chat_gguf: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(chat_gguf.read_bytes())
    answer, progress, status = server.ayllu("run", str(own), "hello")
    assert (answer, status) == (walk(26) + "\n", 0)
    assert "success" in progress
    answer, progress, status = server.ayllu("run", str(own), "hello")
    assert (answer, progress, status) == (walk(26) + "\n", "", 0)


def test_a_file_that_is_no_model_is_refused(server: Serving, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.gguf"
    wrong.write_text("not a model")
    assert "is no GGUF file" in server.ayllu("run", str(wrong), "hello")[1]
    assert "there is no" in server.ayllu("run", str(tmp_path / "none.gguf"), "hello")[1]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Llama 3.2-Q4_K_M.gguf", "llama-3.2-q4_k_m"),
        ("añu.GGUF", "a-u"),
        ("..gguf", "model"),
        ("x" * 200 + ".gguf", "x" * 80),
    ],
)
def test_a_files_name_becomes_a_models(file: str, name: str) -> None:
    assert file_model_name(file) == name


def test_a_model_is_made_shown_copied_run_and_removed(
    server: Serving, chat_gguf: Path, tmp_path: Path
) -> None:
    (tmp_path / "Modelfile").write_text(
        f'FROM {chat_gguf}\nSYSTEM """Be kind."""\nPARAMETER stop e\nPARAMETER temperature 0\n'
    )
    assert server.ayllu("create", "kind", "-f", str(tmp_path / "Modelfile"))[2] == 0
    assert server.ayllu("show", "--system", "kind")[0] == "Be kind."
    assert server.ayllu("run", "kind", "hello")[0] == "abcd\n"
    assert server.ayllu("cp", "kind", "kinder")[0] == "copied 'kind' to 'kinder'\n"
    assert "kinder:latest" in server.ayllu("list")[0]
    assert "kind:latest" in server.ayllu("ps")[0]
    assert server.ayllu("stop", "kind")[2] == 0
    assert server.ayllu("rm", "kind", "kinder")[0] == "deleted 'kind'\ndeleted 'kinder'\n"
    assert "kind" not in server.ayllu("list")[0]


def test_a_model_is_quantized_and_given_a_draft_and_an_adapter(
    server: Serving, chat_gguf: Path, tmp_path: Path
) -> None:
    make_adapter(tmp_path / "lora.gguf", {"c": "x"})
    (tmp_path / "Modelfile").write_text(
        f"FROM {chat_gguf}\nADAPTER ./lora.gguf\nDRAFT chat\nPARAMETER temperature 0\n"
    )
    file = str(tmp_path / "Modelfile")
    done = server.ayllu("create", "tuned", "-f", file)
    assert done[2] == 0, done
    assert server.ayllu("run", "tuned", "hello")[0] == "abcxyz\n"
    _, errors, status = server.ayllu(
        "create", "small", file, "-q", "q5_0", "--draft-quantize", "f16"
    )
    assert status == 0, errors
    assert "quantizing F32 model to Q5_0\n" in errors
    assert "quantizing F32 model to F16\n" in errors
    shown = server.ayllu("show", "small")[0]
    model, draft = shown.partition("  Draft\n")[::2]
    assert re.search(r"quantization +Q5_0", model)
    assert re.search(r"name +successor", draft)
    assert re.search(r"quantization +F16", draft)
    assert server.ayllu("run", "small", "hello")[0] == "abcxyz\n"
    assert server.ayllu("create", "x", file, "-q", "q9")[2] == 1


def test_what_comes_in_by_a_pipe_is_the_prompt(server: Serving) -> None:
    answer, errors, status = server.ayllu("run", "--verbose", "base", stdin="xyz")
    assert (answer[:3], status) == (" ab", 0)
    assert re.search(r"eval rate: +\d", errors)


def test_the_prompt_talks_until_bye(server: Serving) -> None:
    with on_a_terminal(server.environment, "run", "chat") as (terminal, process):
        read_until(terminal, ">>> ")
        os.write(terminal, b"hello\r")
        seen = read_until(terminal, walk(26))
        seen += read_until(terminal, ">>> ")
        os.write(terminal, b"/bye\r")
        assert process.wait(30) == 0, seen


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[dict[str, str]]:
    """The environment of a machine on which no server runs."""
    home = tmp_path_factory.mktemp("home")
    environment = clean_environment(home) | {"AYLLU_HOST": f"127.0.0.1:{free_port}"}
    yield environment
    ayllu(environment, "stop")


def test_a_server_is_started_when_none_runs_and_stopped_on_request(
    fresh: dict[str, str], chat_gguf: Path
) -> None:
    assert ayllu(fresh, "stop")[1:] == ("Error: no server is running\n", 1)
    assert ayllu(fresh, "run", str(chat_gguf), "hello")[0] == walk(26) + "\n"
    (note,) = Path(fresh["AYLLU_HOME"]).glob("server-*.pid")
    pid = int(note.read_text())
    server = psutil.Process(pid)
    engines = server.children(recursive=True)
    assert ayllu(fresh, "stop") == ("", "", 0)
    wait_until(lambda: not any(process.is_running() for process in [server, *engines]))
    assert ayllu(fresh | {"AYLLU_NO_AUTOSTART": "1"}, "list")[2] == 1


def test_two_commands_that_start_it_at_once_both_work(fresh: dict[str, str]) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "ayllu", "list"], env=fresh, stdout=-1, stderr=-1, text=True
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], results


def test_the_doctor_finds_this_machine_well(server: Serving) -> None:
    report, _, status = server.ayllu("doctor")
    assert status == 0, report
    assert "llama.cpp" in report
    assert f"answers at {server.url}" in report
    facts, _, status = server.ayllu("engine", "info")
    assert status == 0
    assert re.search(r"RPC protocol +7\.0", facts)
    assert re.search(r"CPU features +\w+", facts)


def test_the_doctor_names_what_is_broken(fresh: dict[str, str], tmp_path: Path) -> None:
    report, _, status = ayllu(fresh | {"AYLLU_LLAMA_BIN": str(tmp_path)}, "doctor")
    assert status == 1
    assert "MEND engine" in report
    assert "make setup" in report
    report, _, status = ayllu(fresh | {"AYLLU_MODLES": "x"}, "doctor")
    assert status == 1
    assert "AYLLU_MODLES is not a setting" in report
