from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest
from cli.shell import Shell, screen

CHAT = {"body": '{"capabilities":["completion"],"details":{"family":"llama"}}'}
THINKS = {"body": '{"capabilities":["completion","thinking"]}'}
EMBEDS = {"body": '{"capabilities":["embedding"]}'}
DONE = {"response": "", "done": True, "done_reason": "stop"}
MISSING = {"status": 404, "body": '{"error":"model \'m\' not found"}'}


def say(*pieces: str, **last: Any) -> dict[str, Any]:
    return {"lines": [*({"response": piece} for piece in pieces), DONE | last]}


def test_one_prompt_gets_one_answer_on_stdout(shell: Shell) -> None:
    fake = shell.serve({"POST /api/show": CHAT, "POST /api/generate": say("Hello", " you", "!")})

    done = shell.run("run", "m", "say", "hello")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello you!\n", "")
    assert fake.asked("POST /api/generate") == [{"model": "m", "prompt": "say hello"}]


def test_an_answer_that_ends_its_line_gets_no_second_end(shell: Shell) -> None:
    shell.serve({"POST /api/show": CHAT, "POST /api/generate": say("{}", "\n")})

    assert shell.run("run", "m", "x").stdout == "{}\n"


def test_what_comes_by_a_pipe_goes_before_the_prompt(shell: Shell) -> None:
    fake = shell.serve({"POST /api/show": CHAT, "POST /api/generate": say("ok")})

    shell.run("run", "m", "translate", piped=b"dos\xff\n")

    assert fake.asked("POST /api/generate")[0]["prompt"] == "dos\ufffd\n translate"


def test_without_any_prompt_the_model_is_only_loaded(shell: Shell) -> None:
    fake = shell.serve({"POST /api/show": CHAT, "POST /api/generate": {"body": '{"done":true}'}})

    done = shell.run("run", "m", "--keepalive", "30")

    assert (done.returncode, done.stdout) == (0, "")
    assert fake.asked("POST /api/generate") == [
        {"model": "m", "stream": False, "options": {}, "keep_alive": 30.0}
    ]


@pytest.mark.parametrize(
    ("flags", "sent"),
    [
        (["--format", "json"], {"format": "json"}),
        (["--format", '{"type":"object"}'], {"format": {"type": "object"}}),
        (["--keepalive", "1h30m"], {"keep_alive": "1h30m"}),
        (["--keepalive", "-1"], {"keep_alive": -1.0}),
        (["--think"], {"think": True}),
        (["--think=false"], {"think": False}),
        (["--think=high"], {"think": "high"}),
    ],
)
def test_flags_reach_the_server(shell: Shell, flags: list[str], sent: dict[str, Any]) -> None:
    fake = shell.serve({"POST /api/show": CHAT, "POST /api/generate": say("ok")})

    done = shell.run("run", *flags, "m", "x")

    assert done.stdout == "ok\n"
    assert fake.asked("POST /api/generate") == [{"model": "m", "prompt": "x"} | sent]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--format", "yaml"], "--format is neither 'json' nor a JSON schema"),
        (["--format", "[1]"], "--format is neither 'json' nor a JSON schema"),
        (["--keepalive", "soon"], '--keepalive: time: invalid duration "soon"'),
        (["--think=much"], 'invalid think value: "much"'),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_asked(
    shell: Shell, flags: list[str], sentence: str
) -> None:
    fake = shell.serve({})

    done = shell.run("run", "m", "x", *flags)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {sentence}")
    assert fake.asked("POST /api/show") == []


def test_thinking_is_shown_apart_and_asked_for_when_the_model_can(shell: Shell) -> None:
    lines = [{"thinking": "hm", "response": ""}, {"thinking": " yes"}, {"response": "42"}, DONE]
    fake = shell.serve({"POST /api/show": THINKS, "POST /api/generate": {"lines": lines}})

    done = shell.run("run", "m", "x")

    assert done.stdout == "Thinking...\nhm yes\n...done thinking.\n\n42\n"
    assert fake.asked("POST /api/generate")[0]["think"] is True


def test_thinking_can_be_hidden(shell: Shell) -> None:
    lines = [{"thinking": "hm"}, {"response": "42"}, DONE]
    shell.serve({"POST /api/show": THINKS, "POST /api/generate": {"lines": lines}})

    assert shell.run("run", "m", "x", "--hidethinking").stdout == "42\n"


def test_verbose_puts_timings_on_stderr(shell: Shell) -> None:
    timings = {
        "total_duration": 1_500_000_000,
        "load_duration": 2_000_000,
        "prompt_eval_count": 26,
        "prompt_eval_duration": 130_000_000,
        "eval_count": 100,
        "eval_duration": 1_000_000_000,
    }
    shell.serve({"POST /api/show": CHAT, "POST /api/generate": say("ok", **timings)})

    done = shell.run("run", "--verbose", "m", "x")

    assert done.stdout == "ok\n"
    assert done.stderr == (
        "total duration:       1.5s\n"
        "load duration:        2ms\n"
        "prompt eval count:    26 token(s)\n"
        "prompt eval duration: 130ms\n"
        "prompt eval rate:     200.00 tokens/s\n"
        "eval count:           100 token(s)\n"
        "eval duration:        1s\n"
        "eval rate:            100.00 tokens/s\n"
    )


def test_a_tool_call_that_nobody_offered_is_told(shell: Shell) -> None:
    call = {"function": {"name": "add", "arguments": {"a": 1}}}
    lines = [{"response": "", "tool_calls": [call]}, DONE]
    shell.serve({"POST /api/show": CHAT, "POST /api/generate": {"lines": lines}})

    assert shell.run("run", "m", "x").stdout == (
        "Model called a non-existent function 'add()' with arguments: {\"a\":1}\n"
    )


def test_an_embedding_model_prints_a_vector(shell: Shell) -> None:
    body = {"body": '{"embeddings":[[0.5,-1.0]]}'}
    fake = shell.serve({"POST /api/show": EMBEDS, "POST /api/embed": body})

    done = shell.run("run", "m", "x", "--truncate=false", "--dimensions", "2")

    assert done.stdout == "[0.5,-1.0]\n"
    assert fake.asked("POST /api/embed") == [
        {"model": "m", "input": "x", "truncate": False, "dimensions": 2}
    ]


def test_an_embedding_model_wants_a_text(shell: Shell) -> None:
    shell.serve({"POST /api/show": EMBEDS})

    done = shell.run("run", "m")

    assert done.returncode == 1
    assert done.stderr == (
        'Error: embedding models require input text. Usage: ayllu run m "your text here"\n'
    )


def test_an_image_model_is_refused(shell: Shell) -> None:
    shell.serve({"POST /api/show": {"body": '{"capabilities":["image"]}'}})

    done = shell.run("run", "m", "x")

    assert done.stderr == "Error: image generation models are not currently supported\n"


def test_a_model_that_is_not_here_is_pulled_first(shell: Shell) -> None:
    digest = "sha256:" + "ab" * 32
    progress = [
        {"status": "pulling manifest"},
        {"status": "pulling abababababab", "digest": digest, "total": 10},
        {"status": "pulling abababababab", "digest": digest, "total": 10, "completed": 10},
        {"status": "success"},
    ]
    fake = shell.serve(
        {
            "POST /api/show": [MISSING, CHAT],
            "POST /api/pull": {"lines": progress},
            "POST /api/generate": say("ok"),
        }
    )

    done = shell.run("run", "--insecure", "m", "x")

    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert done.stderr == "pulling manifest\npulling abababababab\nsuccess\n"
    assert fake.asked("POST /api/pull") == [{"model": "m", "insecure": True}]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ({"status": 404, "body": '{"error":"not yet"}'}, "not yet"),
        ({"lines": [{"error": "file does not exist"}]}, "file does not exist"),
        ({"lines": [{"status": "pulling manifest"}]}, "the server stopped before it was done"),
    ],
)
def test_a_model_that_cannot_be_pulled_is_told_with_a_remedy(
    shell: Shell, reply: dict[str, Any], reason: str
) -> None:
    shell.serve({"POST /api/show": MISSING, "POST /api/pull": reply})

    done = shell.run("run", "m", "x")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"Error: model 'm' is not on this machine and could not be downloaded ({reason}); "
        "'ayllu create m FILE.gguf' makes it from a file"
    )


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ({"lines": [{"response": "Hel"}, {"error": "the engine died"}]}, "the engine died"),
        ({"lines": [{"response": "Hel"}]}, "the server ended the answer early"),
        ({"lines": [{"response": "Hel"}], "cut": True}, "the server at URL broke off its answer"),
        ({"lines": [{"response": "Hel"}, "<html>"]}, "URL does not answer as an Ayllu server does"),
        ({"lines": [{"response": "Hel"}, [1]]}, "URL does not answer as an Ayllu server does"),
    ],
)
def test_an_answer_that_breaks_keeps_what_was_said_and_fails(
    shell: Shell, reply: dict[str, Any], sentence: str
) -> None:
    fake = shell.serve({"POST /api/show": CHAT, "POST /api/generate": reply})

    done = shell.run("run", "m", "x")

    assert (done.returncode, done.stdout) == (1, "Hel\n")
    assert done.stderr.startswith(f"Error: {sentence}".replace("URL", f"http://{fake.host}"))


def test_ctrl_c_ends_the_request_and_is_status_130(shell: Shell) -> None:
    reply = {"lines": [{"response": "Hel"}], "hang": True}
    fake = shell.serve({"POST /api/show": CHAT, "POST /api/generate": reply})
    process = shell.start("run", "m", "x", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(3) == b"Hel"

    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130
    assert process.stderr is not None
    assert (process.stdout.read(), process.stderr.read()) == (b"\n", b"")
    fake.wait_until_left("/api/generate")


def test_a_reader_that_leaves_ends_the_request(shell: Shell) -> None:
    reply = {"lines": [{"response": "word "}] * 200, "pause": 0.02, "hang": True}
    shell.serve({"POST /api/show": CHAT, "POST /api/generate": reply})
    process = shell.start("run", "m", "x", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(4)
    process.stdout.close()

    assert process.wait(20) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_terminal_gets_no_control_codes_of_the_model_and_wrapped_words(shell: Shell) -> None:
    words = " ".join(["word"] * 30)
    shell.serve({"POST /api/show": CHAT, "POST /api/generate": say("\x1b]0;evil\x07", words)})

    terminal = shell.open_terminal("run", "m", "x", NO_COLOR="1")

    assert terminal.exit_status() == 0
    assert "]0;evil" in terminal.seen
    assert "\x1b]0;" not in terminal.seen
    assert all(len(line) <= 75 for line in screen(terminal.seen))


def test_colour_is_for_terminals_that_want_it(shell: Shell) -> None:
    lines = [{"thinking": "hm"}, {"response": "42"}, DONE]
    shell.serve({"POST /api/show": THINKS, "POST /api/generate": {"lines": lines}})

    coloured = shell.open_terminal("run", "m", "x")
    plain = shell.open_terminal("run", "m", "x", NO_COLOR="1")

    assert coloured.exit_status() == plain.exit_status() == 0
    assert "\x1b[38;5;245m" in coloured.seen
    assert "\x1b[38" not in plain.seen
