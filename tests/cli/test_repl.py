from __future__ import annotations

import json
from typing import Any

import pytest
from cli.shell import Fake, Shell, Terminal

INFO: dict[str, Any] = {
    "capabilities": ["completion"],
    "details": {"family": "llama", "parameter_size": "3M"},
    "parameters": "temperature                    0.5",
    "license": "MIT",
}
LOADED = {"body": '{"done":true,"done_reason":"load"}'}
HINT = "Use Ctrl + d or /bye to exit."
PLACEHOLDER = "Send a message (/? for help)"


def say(*pieces: str) -> dict[str, Any]:
    lines: list[Any] = [{"message": {"role": "assistant", "content": text}} for text in pieces]
    return {"lines": [*lines, {"message": {"role": "assistant", "content": ""}, "done": True}]}


def open_prompt(
    shell: Shell, *flags: str, info: dict[str, Any] | None = None, **replies: Any
) -> tuple[Fake, Terminal]:
    """A conversation at its first prompt; `replies` are those of /api/NAME."""
    fake = shell.serve(
        {"POST /api/show": {"body": json.dumps(INFO | (info or {}))}, "POST /api/generate": LOADED}
        | {f"POST /api/{name}": reply for name, reply in replies.items()}
    )
    terminal = shell.open_terminal("run", "m", *flags)
    terminal.expect(PLACEHOLDER)
    return fake, terminal


def test_a_conversation_carries_what_was_said(shell: Shell) -> None:
    fake, terminal = open_prompt(shell, chat=[say("Hello", " you"), say("Bye")])

    terminal.send("hi\r")
    terminal.expect("Hello you")
    terminal.send("more\r")
    terminal.expect("Bye")
    terminal.send("/bye\r")

    assert terminal.exit_status() == 0
    assert fake.asked("POST /api/chat") == [
        {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "Hello you"},
                {"role": "user", "content": "more"},
            ],
        },
    ]
    assert fake.asked("POST /api/generate") == [{"model": "m", "stream": False, "options": {}}]
    history = shell.home / "history"
    assert history.read_text().splitlines() == ['"hi"', '"more"', '"/bye"']
    assert history.stat().st_mode & 0o777 == 0o600


def test_three_quotes_hold_several_lines_together(shell: Shell) -> None:
    fake, terminal = open_prompt(shell, chat=say("ok"))

    terminal.send('"""first\r')
    terminal.expect('Use """ to end multi-line input')
    terminal.send("  second\r")
    terminal.send('third"""\r')
    terminal.expect("ok")

    assert fake.asked("POST /api/chat")[0]["messages"][0]["content"] == "first\n  second\nthird"


def test_a_pasted_text_is_one_message(shell: Shell) -> None:
    fake, terminal = open_prompt(shell, chat=say("ok"))

    terminal.send("\x1b[200~line one\nline two\x1b[201~")
    terminal.expect("line two")
    terminal.send("\r")
    terminal.expect("ok")

    assert fake.asked("POST /api/chat")[0]["messages"][0]["content"] == "line one\nline two"


def test_ctrl_c_stops_the_answer_and_not_the_conversation(shell: Shell) -> None:
    broken = {"lines": [{"message": {"content": "endless"}}], "hang": True}
    fake, terminal = open_prompt(shell, chat=[broken, say("fine")])

    terminal.send("go\r")
    terminal.expect("endless")
    terminal.send("\x03")
    terminal.expect(PLACEHOLDER)
    fake.wait_until_left("/api/chat")
    terminal.send("again\r")
    terminal.expect("fine")

    roles = [message["role"] for message in fake.asked("POST /api/chat")[1]["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_ctrl_c_before_the_first_word_forgets_the_question(shell: Shell) -> None:
    fake, terminal = open_prompt(shell, chat=[{"lines": [], "hang": True}, say("fine")])

    terminal.send("go\r")
    fake.wait_until_asked("POST /api/chat")
    terminal.send("\x03")
    terminal.expect(PLACEHOLDER)
    terminal.send("again\r")
    terminal.expect("fine")

    assert [len(body["messages"]) for body in fake.asked("POST /api/chat")] == [1, 1]


def test_ctrl_c_at_the_prompt_drops_the_line_or_says_how_to_leave(shell: Shell) -> None:
    fake, terminal = open_prompt(shell, chat=say("ok"))

    terminal.send("half a line\x03")
    assert HINT not in terminal.expect(PLACEHOLDER)
    terminal.send("\x03")
    terminal.expect(HINT)
    terminal.send("\x04")

    assert terminal.exit_status() == 0
    assert fake.asked("POST /api/chat") == []


def test_an_error_ends_the_answer_and_not_the_conversation(shell: Shell) -> None:
    failure = {"status": 500, "body": '{"error":"the engine died"}'}
    fake, terminal = open_prompt(shell, chat=[failure, say("fine")])

    terminal.send("hi\r")
    terminal.expect("Error: the engine died")
    terminal.send("again\r")
    terminal.expect("fine")

    assert [len(body["messages"]) for body in fake.asked("POST /api/chat")] == [1, 1]


def test_settings_change_what_is_asked(shell: Shell) -> None:
    fake, terminal = open_prompt(shell, "--keepalive", "1m", chat=say("ok"))

    for command, answer in (
        ("/set parameter temperature 0.25", "Set parameter 'temperature' to '0.25'"),
        ("/set parameter stop a b", "Set parameter 'stop' to 'a, b'"),
        ("/set parameter adapter_scale 0.5 1", "Set parameter 'adapter_scale' to '0.5, 1'"),
        ("/set parameter num_ctx many", 'Couldn\'t set parameter: "invalid int value [many]"'),
        ("/set parameter nonsense 1", "Couldn't set parameter: \"unknown parameter 'nonsense'\""),
        ("/set parameter", "Available Parameters:"),
        ("/set parameter", "/set parameter adapter_scale <float> ..."),
        ("/set system Be brief.", "Set system message."),
        ("/set format json", "Set format to 'json' mode."),
        ("/set think high", "Set 'think' mode to 'high'."),
        ("/set nonsense", "Unknown command '/set nonsense'. Type /? for help"),
        ("/show parameters", "User defined parameters:"),
        ("/show system", "Be brief."),
    ):
        terminal.send(f"{command}\r")
        terminal.expect(command)
        terminal.expect(answer)
    terminal.send("hi\r")
    terminal.expect("ok")

    assert fake.asked("POST /api/chat") == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
            ],
            "options": {"temperature": 0.25, "stop": ["a", "b"], "adapter_scale": [0.5, 1.0]},
            "format": "json",
            "think": "high",
            "keep_alive": "1m",
        }
    ]


def test_settings_can_be_taken_back(shell: Shell) -> None:
    fake, terminal = open_prompt(shell, "--verbose", chat=say("ok"))

    for command, answer in (
        ("/set format json", "Set format to 'json' mode."),
        ("/set noformat", "Disabled format."),
        ("/set verbose", "Set 'verbose' mode."),
        ("/set quiet", "Set 'quiet' mode."),
        ("/set think", "Set 'think' mode."),
        ("/set nothink", "Set 'nothink' mode."),
        ("/set nowordwrap", "Set 'nowordwrap' mode."),
        ("/set wordwrap", "Set 'wordwrap' mode."),
        ("/set format xml", "Invalid or missing format."),
    ):
        terminal.send(f"{command}\r")
        terminal.expect(answer)
    terminal.send("/set nohistory\r")
    terminal.expect(PLACEHOLDER)
    terminal.send("secret\r")
    terminal.expect("ok")

    assert fake.asked("POST /api/chat")[0]["think"] is False
    assert "format" not in fake.asked("POST /api/chat")[0]
    assert "secret" not in (shell.home / "history").read_text()


def test_clear_forgets_the_conversation_and_keeps_the_system_message(shell: Shell) -> None:
    fake, terminal = open_prompt(shell, chat=say("ok"))

    terminal.send("/set system Be brief.\r")
    terminal.expect("Set system message.")
    terminal.send("one\r")
    terminal.expect("ok")
    terminal.send("/clear\r")
    terminal.expect("Cleared session context")
    terminal.send("two\r")
    terminal.expect("ok")

    assert [message["content"] for message in fake.asked("POST /api/chat")[1]["messages"]] == [
        "Be brief.",
        "two",
    ]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("/?", "Available Commands:"),
        ("/help set", "/set parameter ..."),
        ("/? shortcuts", "Available keyboard shortcuts:"),
        ("/show", "/show modelfile"),
        ("/show info", "    architecture    llama"),
        ("/show license", "MIT"),
        ("/show template", "No prompt template was specified for this model."),
        ("/show parameters", "temperature                    0.5"),
        ("/nonsense", "Unknown command '/nonsense'. Type /? for help"),
        ("/load", "/load <modelname>"),
        ("/save", "/save <modelname>"),
    ],
)
def test_commands_answer(shell: Shell, command: str, answer: str) -> None:
    _, terminal = open_prompt(shell)

    terminal.send(f"{command}\r")
    terminal.expect(command)
    terminal.expect(answer)
    terminal.send("/exit\r")

    assert terminal.exit_status() == 0


def test_list_shows_the_models(shell: Shell) -> None:
    fake, terminal = open_prompt(shell)

    terminal.send("/list\r")
    terminal.expect("Error: the server at ")  # the script has no answer for it
    terminal.send("/bye\r")

    assert terminal.exit_status() == 0
    assert fake.asked("GET /api/tags") == [""]


def test_save_creates_a_model_of_the_conversation(shell: Shell) -> None:
    invalid = {"status": 400, "body": '{"error":"invalid model name"}'}
    created = {"lines": [{"status": "success"}]}
    stored = {"messages": [{"role": "user", "content": "old"}]}
    fake, terminal = open_prompt(shell, info=stored, chat=say("ok"), create=[invalid, created])

    terminal.send("hi\r")
    terminal.expect("ok")
    terminal.send("/save ../x\r")
    terminal.expect("error: The model name '../x' is invalid")
    terminal.send("/save mine\r")
    terminal.expect("Created new model 'mine'")

    assert fake.asked("POST /api/create")[1] == {
        "model": "mine",
        "from": "m",
        "messages": [
            {"role": "user", "content": "old"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "ok"},
        ],
    }


def test_load_goes_on_with_another_model(shell: Shell) -> None:
    info = {"body": json.dumps(INFO)}
    missing = {"status": 404, "body": '{"error":"model \'y\' not found"}'}
    fake, terminal = open_prompt(shell, show=[info, missing, info], chat=say("ok"))

    terminal.send("/load y\r")
    terminal.expect("Couldn't find model 'y'")
    terminal.send("one\r")
    terminal.expect("ok")
    terminal.send("/load x\r")
    terminal.expect("Loading model 'x'")
    terminal.expect(PLACEHOLDER)
    terminal.send("two\r")
    terminal.expect("ok")

    assert [(body["model"], len(body["messages"])) for body in fake.asked("POST /api/chat")] == [
        ("m", 1),
        ("x", 1),
    ]


def test_the_models_own_messages_are_shown_first(shell: Shell) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "I am here"}]
    shell.serve(
        {
            "POST /api/show": {"body": json.dumps(INFO | {"messages": messages})},
            "POST /api/generate": LOADED,
        }
    )
    terminal = shell.open_terminal("run", "m")

    assert ">>> hi\r\nI am here\r\n\r\n" in terminal.expect(PLACEHOLDER)


def test_the_line_can_be_edited_and_the_last_one_called_back(shell: Shell) -> None:
    fake, terminal = open_prompt(shell, chat=say("ok"))

    terminal.send("wrong\x15right\x01all \x05!\r")
    terminal.expect("ok")
    terminal.send("\x1b[A")
    terminal.expect("all right!")
    terminal.send("\r")
    terminal.expect("ok")

    said = [body["messages"][-1]["content"] for body in fake.asked("POST /api/chat")]
    assert said == ["all right!", "all right!"]


def test_ctrl_c_while_the_model_loads_is_status_130(shell: Shell) -> None:
    fake = shell.serve(
        {
            "POST /api/show": {"body": json.dumps(INFO)},
            "POST /api/generate": {"lines": [], "hang": True},
        }
    )
    terminal = shell.open_terminal("run", "m")
    fake.wait_until_asked("POST /api/generate")

    terminal.send("\x03")

    assert terminal.exit_status() == 130
    assert "Traceback" not in terminal.seen
    fake.wait_until_left("/api/generate")
