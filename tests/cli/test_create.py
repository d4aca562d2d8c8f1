from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from cli.shell import Shell, screen

GGUF = b"GGUF\x03\x00\x00\x00" + bytes(100)
DIGEST = f"sha256:{hashlib.sha256(GGUF).hexdigest()}"
MADE = {"lines": [{"status": "parsing GGUF"}, {"status": "success"}]}


def script(**blob: Any) -> dict[str, Any]:
    return {
        f"HEAD /api/blobs/{DIGEST}": {"status": 404} | blob,
        f"POST /api/blobs/{DIGEST}": {"status": 201},
        "POST /api/create": MADE,
    }


@pytest.mark.parametrize(
    "arguments", [["-f", "m.gguf"], ["m.gguf"], ["--file", "./m.gguf"], ["-f", "Mine"], []]
)
def test_a_gguf_is_uploaded_and_made_a_model(shell: Shell, arguments: list[str]) -> None:
    (shell.folder / "m.gguf").write_bytes(GGUF)
    (shell.folder / "Mine").write_text("FROM ./m.gguf\n")
    fake = shell.serve(script())

    done = shell.run("create", "x", *arguments)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "gathering model components",
        "hashing m.gguf",
        f"copying file {DIGEST[:19]}",
        "parsing GGUF",
        "success",
    ]
    assert fake.asked(f"POST /api/blobs/{DIGEST}") == [GGUF.decode()]
    assert fake.asked("POST /api/create") == [{"model": "x", "files": {"m.gguf": DIGEST}}]


def test_a_file_that_the_server_has_is_not_sent_again(shell: Shell) -> None:
    (shell.folder / "m.gguf").write_bytes(GGUF)
    fake = shell.serve(script(status=200))

    assert shell.run("create", "x", "m.gguf").returncode == 0
    assert fake.asked(f"POST /api/blobs/{DIGEST}") == []


def test_a_wildcard_stands_for_all_parts(shell: Shell) -> None:
    for n in (2, 1):
        (shell.folder / f"m-{n:05d}-of-00002.gguf").write_bytes(GGUF)
    (shell.folder / "Modelfile").write_text("FROM ./m-*.gguf\n")
    fake = shell.serve(script(status=200))
    assert shell.run("create", "x").returncode == 0
    names = [f"m-{n:05d}-of-00002.gguf" for n in (1, 2)]
    wanted = {"model": "x", "files": dict.fromkeys(names, DIGEST)}
    assert fake.asked("POST /api/create") == [wanted]


def test_several_adapters_come_in_their_order(shell: Shell) -> None:
    for name in ("a", "b"):
        (shell.folder / f"{name}.gguf").write_bytes(GGUF)
    (shell.folder / "Modelfile").write_text(
        "FROM x\nADAPTER ./b.gguf\nADAPTER ./a.gguf\n"
        "PARAMETER adapter_scale 0.5\nPARAMETER adapter_scale -1\n"
    )
    fake = shell.serve(script(status=200))
    assert shell.run("create", "x").returncode == 0
    (asked,) = fake.asked("POST /api/create")
    assert list(asked["adapters"]) == ["b.gguf", "a.gguf"]
    assert asked["parameters"] == {"adapter_scale": [0.5, -1.0]}


def test_every_instruction_reaches_the_server(shell: Shell) -> None:
    folder = shell.folder / "sub"
    folder.mkdir()
    (folder / "lora.gguf").write_bytes(GGUF)
    (folder / "Modelfile").write_text(
        "# mine\nFROM llama3.2\nADAPTER ./lora.gguf\nPARAMETER temperature 0.5\n"
        "PARAMETER stop a\nPARAMETER stop b\nPARAMETER num_ctx 64\n"
        'TEMPLATE """{{ .Prompt }}\nok"""\nSYSTEM Be kind.\n'
        "LICENSE MIT\nLICENSE BSD\nMESSAGE user hi: there\nMESSAGE assistant hello\n"
    )
    fake = shell.serve(script(status=200))

    done = shell.run("create", "x", "-f", "sub/Modelfile", "-q", "Q4_K_M")

    assert done.returncode == 0, done.stderr
    assert fake.asked("POST /api/create") == [
        {
            "model": "x",
            "from": "llama3.2",
            "adapters": {"lora.gguf": DIGEST},
            "parameters": {"temperature": 0.5, "stop": ["a", "b"], "num_ctx": 64},
            "template": "{{ .Prompt }}\nok",
            "system": "Be kind.",
            "license": ["MIT", "BSD"],
            "messages": [
                {"role": "user", "content": "hi: there"},
                {"role": "assistant", "content": "hello"},
            ],
            "quantize": "Q4_K_M",
        }
    ]


def test_a_folder_of_weights_is_sent_with_its_companions(shell: Shell) -> None:
    folder = shell.folder / "hf"
    (folder / "nested").mkdir(parents=True)
    for name in ("model-1.safetensors", "config.json", "nested/a.json", "vocab.txt", "notes.txt"):
        (folder / name).write_bytes(GGUF)
    fake = shell.serve(script(status=200))

    assert shell.run("create", "x", "hf").returncode == 0
    assert sorted(fake.asked("POST /api/create")[0]["files"]) == [
        "config.json",
        "model-1.safetensors",
        "nested/a.json",
        "vocab.txt",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x", "-f", "nothing"], "there is no file nothing"),
        (["x", "empty"], "no Modelfile or safetensors files found in empty"),
        (["x"], "no Modelfile or safetensors files found in ."),
        (["../x", "m.gguf"], "invalid model name"),
        (["x", "lost"], "(line 1): there is no file away.gguf"),
        (
            ["x", "homeless"],
            "(line 1): ~who-is-nobody/m.gguf names a home folder that does not exist",
        ),
        (["x", "wrong"], "(line 2): unknown parameter 'nonsense'"),
        (["x", "odd"], "(line 1): command must be one of "),
        (["x", "m.gguf", "-f", "m.gguf"], "give the file once: as SOURCE or with -f"),
        (["x", "leading-out"], "insecure path: leading-out/m.gguf leads out of leading-out"),
    ],
)
def test_what_cannot_be_made_is_told_before_anything_is_sent(
    shell: Shell, arguments: list[str], sentence: str
) -> None:
    write_wrong_files(shell.folder)
    fake = shell.serve(script())

    done = shell.run("create", *arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {sentence}"), done.stderr
    assert fake.asked("POST /api/create") == []


def write_wrong_files(folder: Path) -> None:
    (folder / "files").mkdir()
    (folder / "files" / "m.gguf").write_bytes(GGUF)
    (folder / "empty").mkdir()
    (folder / "leading-out").mkdir()
    (folder / "leading-out" / "m.gguf").symlink_to(folder / "files" / "m.gguf")
    (folder / "lost").write_text("FROM away.gguf\n")
    (folder / "homeless").write_text("FROM ~who-is-nobody/m.gguf\n")
    (folder / "wrong").write_text("FROM llama3.2\nPARAMETER nonsense 1\n")
    (folder / "odd").write_text("HELLO llama3.2\n")


@pytest.mark.parametrize(
    ("replies", "sentence"),
    [
        (
            {f"POST /api/blobs/{DIGEST}": {"status": 400, "body": '{"error":"digest mismatch"}'}},
            "digest mismatch",
        ),
        ({"POST /api/create": {"lines": [{"error": "not a GGUF"}]}}, "not a GGUF"),
        (
            {"POST /api/create": {"lines": [{"status": "parsing GGUF"}]}},
            "the server stopped before it was done",
        ),
    ],
)
def test_what_the_server_refuses_is_told(
    shell: Shell, replies: dict[str, Any], sentence: str
) -> None:
    (shell.folder / "m.gguf").write_bytes(GGUF)
    shell.serve(script() | replies)

    done = shell.run("create", "x", "m.gguf")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"Error: {sentence}"


def test_a_terminal_sees_bars(shell: Shell) -> None:
    (shell.folder / "m.gguf").write_bytes(GGUF)
    shell.serve(script())

    terminal = shell.open_terminal("create", "x", str(shell.folder / "m.gguf"))

    assert terminal.exit_status() == 0
    assert re.search(rf"copying file {DIGEST[:19]}: +100% \S*━", terminal.seen)
    assert "108/108 bytes" in terminal.seen
    assert screen(terminal.seen)[-2].rstrip() == "success"


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        ("DRAFT mini-draft", {"draft": "mini-draft"}),
        ("DRAFT ./small.gguf", {"draft_files": {"small.gguf": DIGEST}}),
        ("DRAFT small.gguf", {"draft_files": {"small.gguf": DIGEST}}),
        ("DRAFT ./small.gguf\nDRAFT ns/other:q4", {"draft": "ns/other:q4"}),
        ("DRAFT other\nDRAFT ./small.gguf", {"draft_files": {"small.gguf": DIGEST}}),
    ],
)
def test_a_draft_is_a_file_or_the_name_of_a_model(
    shell: Shell, lines: str, sent: dict[str, Any]
) -> None:
    (shell.folder / "small.gguf").write_bytes(GGUF)
    (shell.folder / "Modelfile").write_text(f"FROM llama3.2\n{lines}\n")
    fake = shell.serve(script(status=200))

    done = shell.run("create", "x", "--draft-quantize", "q8_0")

    assert done.returncode == 0, done.stderr
    assert fake.asked("POST /api/create") == [
        {"model": "x", "from": "llama3.2", "draft_quantize": "q8_0", **sent}
    ]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("FROM ./m.gguf\nDRAFT m.gguf", "DRAFT and FROM are the same file, m.gguf: take a smaller"),
        ("FROM llama3.2\nDRAFT ./lost.gguf", "(line 2): there is no file lost.gguf"),
    ],
)
def test_a_draft_that_is_none_is_told_before_anything_is_sent(
    shell: Shell, lines: str, sentence: str
) -> None:
    (shell.folder / "m.gguf").write_bytes(GGUF)
    (shell.folder / "Modelfile").write_text(lines)
    fake = shell.serve(script())

    done = shell.run("create", "x")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {sentence}"), done.stderr
    assert fake.asked("POST /api/create") == []
