from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cli.shell import Shell

from ayllu.cli.models import processor

DIGEST = "0123456789abcdef" * 4
SHOWN: dict[str, Any] = {
    "license": "Line one\n\nLine two\nLine three",
    "modelfile": "FROM x",
    "parameters": 'stop                           "<a>"\ntemperature                    0.5',
    "template": "{{ .Prompt }}",
    "system": "Be kind.",
    "details": {"family": "llama", "parameter_size": "3.2M", "quantization_level": "F16"},
    "model_info": {
        "general.architecture": "llama",
        "general.parameter_count": 3200000,
        "general.file_type": 1,
        "llama.context_length": 2048,
        "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.tokens": ["<s>", "</s>", "a", "b", "c"],
        "tokenizer.ggml.add_bos": True,
        "tokenizer.ggml.scores": None,
    },
    "tensors": [{"name": "output.weight", "type": "F16", "shape": [64, 512]}],
    "capabilities": ["completion", "tools"],
}


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


def test_list_prints_a_table_of_what_begins_with_the_prefix(shell: Shell) -> None:
    models = [
        {"name": "Chat3m:latest", "digest": DIGEST, "size": 7406976, "modified_at": ago(days=3)},
        {"name": "chat-far:cloud", "digest": DIGEST, "remote_model": "x"},
        {"name": "other:latest", "digest": DIGEST, "size": 1},
    ]
    fake = shell.serve({"GET /api/tags": {"body": shell.json({"models": models})}})

    done = shell.run("ls", "chat")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "NAME              ID              SIZE      MODIFIED      \n"
        "Chat3m:latest     0123456789ab    7.4 MB    3 days ago    \n"
        "chat-far:cloud    0123456789ab    -         Never         \n"
    )
    assert [fact["method"] for fact in fake.facts()] == ["HEAD", "GET"]
    assert fake.facts()[1]["headers"]["User-Agent"].startswith("ayllu/")


def test_an_empty_store_is_a_header_alone(shell: Shell) -> None:
    shell.serve({"GET /api/tags": {"body": '{"models":null}'}})

    assert shell.run("list").stdout == "NAME    ID    SIZE    MODIFIED    \n"


def test_ps_tells_where_models_lie_and_for_how_long(shell: Shell) -> None:
    facts = {"digest": DIGEST, "size": 1000, "context_length": 4096}
    models = [
        facts | {"name": "a:latest", "size_vram": 0, "expires_at": ago(minutes=-4.5)},
        facts | {"name": "b:latest", "size_vram": 250, "expires_at": ago(seconds=3)},
        facts | {"name": "c:latest", "size_vram": 1000, "expires_at": ago(days=-365 * 200)},
    ]
    shell.serve({"GET /api/ps": {"body": shell.json({"models": models})}})

    rows = [line.split("    ") for line in shell.run("ps").stdout.splitlines()]

    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"],
        ["a:latest", "0123456789ab", "1 KB", "100% CPU", "4096", "4 minutes from now"],
        ["b:latest", "0123456789ab", "1 KB", "75%/25% CPU/GPU", "4096", "Stopping..."],
        ["c:latest", "0123456789ab", "1 KB", "100% GPU", "4096", "Forever"],
    ]


@pytest.mark.parametrize(
    ("size", "vram", "text"),
    [(10, 0, "100% CPU"), (10, 10, "100% GPU"), (10, 11, "Unknown"), (0, 1, "Unknown")],
)
def test_a_processor_is_told_only_where_it_is_known(size: int, vram: int, text: str) -> None:
    assert processor(size, vram) == text


def test_show_prints_sections(shell: Shell) -> None:
    fake = shell.serve({"POST /api/show": {"body": shell.json(SHOWN)}})

    done = shell.run("show", "m")

    assert done.stdout == (
        "  Model\n"
        "    architecture      llama    \n"
        "    parameters        3.2M     \n"
        "    context length    2048     \n"
        "    quantization      F16      \n"
        "\n"
        "  Capabilities\n"
        "    completion    \n"
        "    tools         \n"
        "\n"
        "  Parameters\n"
        '    stop           "<a>"    \n'
        "    temperature    0.5      \n"
        "\n"
        "  System\n"
        "    Be kind.    \n"
        "\n"
        "  License\n"
        "    Line one    \n"
        "    Line two    \n"
        "    ...         \n"
        "\n"
    )
    assert fake.asked("POST /api/show") == [{"model": "m", "verbose": False}]


def test_show_verbose_adds_metadata_and_tensors(shell: Shell) -> None:
    shell.serve({"POST /api/show": {"body": shell.json(SHOWN)}})

    text = shell.run("show", "-v", "m").stdout

    assert "    tokenizer.ggml.tokens      [<s> </s> ...+3 more]    \n" in text
    assert "    tokenizer.ggml.add_bos     true                     \n" in text
    assert "    llama.rope.freq_base       10000                    \n" in text
    assert "  Tensors\n        output.weight" not in text
    assert "  Tensors\n    output.weight    F16    [64 512]    \n" in text


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--license", "Line one\n\nLine two\nLine three\n"),
        ("--modelfile", "FROM x\n"),
        ("--parameters", f"{SHOWN['parameters']}\n"),
        ("--system", "Be kind."),
        ("--template", "{{ .Prompt }}"),
    ],
)
def test_show_prints_one_field_as_it_is(shell: Shell, flag: str, text: str) -> None:
    shell.serve({"POST /api/show": {"body": shell.json(SHOWN)}})

    assert shell.run("show", flag, "m").stdout == text


def test_show_prints_one_field_at_most(shell: Shell) -> None:
    done = shell.run("show", "--system", "--license", "m")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: only one of '--license', ")


def test_stop_unloads(shell: Shell) -> None:
    fake = shell.serve({"POST /api/generate": {"body": '{"done":true,"done_reason":"unload"}'}})

    assert shell.run("stop", "m").returncode == 0
    assert fake.asked("POST /api/generate") == [{"model": "m", "keep_alive": 0, "stream": False}]


def test_stop_says_when_there_is_no_such_model(shell: Shell) -> None:
    shell.serve({"POST /api/generate": {"status": 404, "body": '{"error":"not found"}'}})

    done = shell.run("stop", "m")

    assert (done.returncode, done.stderr) == (1, 'Error: couldn\'t find model "m" to stop\n')


def test_cp_copies(shell: Shell) -> None:
    fake = shell.serve({"POST /api/copy": {"body": ""}})

    assert shell.run("cp", "a", "b").stdout == "copied 'a' to 'b'\n"
    assert fake.asked("POST /api/copy") == [{"source": "a", "destination": "b"}]


def test_rm_deletes_what_it_can_and_fails_for_the_rest(shell: Shell) -> None:
    missing = {"status": 404, "body": '{"error":"model \'b\' not found"}'}
    fake = shell.serve(
        {
            "POST /api/generate": [
                {"body": '{"done":true}'},
                missing,
                {"status": 500, "body": '{"error":"busy"}'},
            ],
            "DELETE /api/delete": [{"body": ""}, missing, {"body": ""}],
        }
    )

    done = shell.run("rm", "a", "b", "c")

    assert done.returncode == 1
    assert done.stdout == "deleted 'a'\ndeleted 'c'\n"
    assert done.stderr == ("Error: model 'b' not found\nWarning: unable to stop model 'c'\n")
    assert fake.asked("DELETE /api/delete") == [{"model": "a"}, {"model": "b"}, {"model": "c"}]
