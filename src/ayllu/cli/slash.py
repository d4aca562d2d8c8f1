"""The commands of the conversation: everything that begins with a slash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ayllu.cli.client import Client
from ayllu.cli.help import HELP, PARAMETER_HELP, SET_HELP, SHORTCUTS_HELP, SHOW_HELP
from ayllu.cli.models import field_text, print_models
from ayllu.cli.parameters import parse_think
from ayllu.cli.print import clean, clean_line
from ayllu.cli.progress import follow, spinning
from ayllu.cli.session import Session, show_model
from ayllu.cli.show import describe
from ayllu.cli.terminal import Terminal
from ayllu.cli.wire import ProgressLine
from ayllu.errors import BadRequestError, NotFoundError
from ayllu.models.modelfile import parse_parameter

NO_FIELD = {
    "license": "No license was specified for this model.",
    "modelfile": "No Modelfile is known for this model.",
    "system": "No system message was specified for this model.",
    "template": "No prompt template was specified for this model.",
}


class Leave(Exception):  # noqa: N818 - not an error but the user's wish
    """The user ends the conversation."""


async def obey(line: str, session: Session, terminal: Terminal) -> None:
    """Carry out one command. Raises Leave for `/bye`, AylluError when the server refuses."""
    word, _, rest = line.partition(" ")
    command = COMMANDS.get(word.strip())
    if command is None:
        print(f"Unknown command '{clean_line(word)}'. Type /? for help")
        return
    await command(rest.strip(), session, terminal)


async def _bye(_rest: str, _session: Session, _terminal: Terminal) -> None:
    raise Leave


async def _help(rest: str, _session: Session, _terminal: Terminal) -> None:
    topics = {"set": SET_HELP, "/set": SET_HELP, "show": SHOW_HELP, "/show": SHOW_HELP}
    topics |= {"shortcut": SHORTCUTS_HELP, "shortcuts": SHORTCUTS_HELP}
    print(topics.get(rest, HELP))


async def _list(rest: str, session: Session, _terminal: Terminal) -> None:
    await print_models(session.client, rest)


async def _clear(_rest: str, session: Session, _terminal: Terminal) -> None:
    session.messages.clear()
    print("Cleared session context")


async def _load(rest: str, session: Session, _terminal: Terminal) -> None:
    if not rest:
        print("Usage:\n  /load <modelname>")
        return
    print(f"Loading model '{rest}'")
    try:
        async with spinning(""):
            await session.switch(rest)
    except NotFoundError:
        print(f"Couldn't find model '{rest}'")


async def _save(rest: str, session: Session, _terminal: Terminal) -> None:
    if not rest or " " in rest:
        print("Usage:\n  /save <modelname>")
        return
    try:
        await _create(session.client, session, rest)
    except BadRequestError as error:
        if "invalid model name" not in error.sentence:
            raise
        print(f"error: The model name '{rest}' is invalid")
    else:
        print(f"Created new model '{rest}'")


async def _create(client: Client, session: Session, name: str) -> None:
    lines = client.stream("/api/create", session.definition(name), ProgressLine)
    async with spinning("saving"):
        await follow(lines)


async def _show(rest: str, session: Session, _terminal: Terminal) -> None:
    if rest not in {*NO_FIELD, "info", "parameters"}:
        print(SHOW_HELP)
        return
    info = await show_model(session.client, session.model)
    if rest == "info":
        print(describe(info), end="")
    elif rest == "parameters":
        _print_parameters(info.parameters, session)
    elif rest == "system" and session.system:
        print(f"{clean(session.system)}\n")
    else:
        text = field_text(info, rest).strip("\n")
        print(f"{text or NO_FIELD[rest]}\n")


def _print_parameters(defined: str, session: Session) -> None:
    print("Model defined parameters:")
    for line in defined.splitlines() or ["No additional parameters were specified"]:
        print(f"  {clean(line)}")
    if session.options:
        print("\nUser defined parameters:")
        for name, value in session.options.items():
            print(f"  {name:<30} {value}")
    print()


async def _set(rest: str, session: Session, terminal: Terminal) -> None:
    word, _, value = rest.partition(" ")
    setter = SETTERS.get(word)
    if setter is None:
        print(f"Unknown command '/set {clean_line(word)}'. Type /? for help" if word else SET_HELP)
        return
    setter(value.strip(), session, terminal)


def _set_parameter(value: str, session: Session, _terminal: Terminal) -> None:
    name, *words = value.split() or [""]
    if not words:
        print(PARAMETER_HELP)
        return
    try:
        session.options[name] = parse_parameter(name, words)
    except BadRequestError as error:
        print(f'Couldn\'t set parameter: "{clean_line(error.sentence)}"')
        return
    print(f"Set parameter '{name}' to '{', '.join(words)}'")


def _set_system(value: str, session: Session, _terminal: Terminal) -> None:
    if not value:
        print("Usage:\n  /set system <message>")
        return
    session.system = value
    print("Set system message.")


def _set_history(_value: str, _session: Session, terminal: Terminal) -> None:
    terminal.history.writes = True


def _set_nohistory(_value: str, _session: Session, terminal: Terminal) -> None:
    terminal.history.writes = False


def _set_wordwrap(_value: str, session: Session, _terminal: Terminal) -> None:
    session.wraps = True
    print("Set 'wordwrap' mode.")


def _set_nowordwrap(_value: str, session: Session, _terminal: Terminal) -> None:
    session.wraps = False
    print("Set 'nowordwrap' mode.")


def _set_format(value: str, session: Session, _terminal: Terminal) -> None:
    if value != "json":
        print("Invalid or missing format. For 'json' mode use '/set format json'")
        return
    session.format = value
    print("Set format to 'json' mode.")


def _set_noformat(_value: str, session: Session, _terminal: Terminal) -> None:
    session.format = None
    print("Disabled format.")


def _set_verbose(_value: str, session: Session, _terminal: Terminal) -> None:
    session.verbose = True
    print("Set 'verbose' mode.")


def _set_quiet(_value: str, session: Session, _terminal: Terminal) -> None:
    session.verbose = False
    print("Set 'quiet' mode.")


def _set_think(value: str, session: Session, _terminal: Terminal) -> None:
    session.think = parse_think(value or "true")
    print(f"Set 'think' mode to '{value}'." if value else "Set 'think' mode.")


def _set_nothink(_value: str, session: Session, _terminal: Terminal) -> None:
    session.think = False
    print("Set 'nothink' mode.")


Command = Callable[[str, Session, Terminal], Awaitable[None]]
Setter = Callable[[str, Session, Terminal], None]

COMMANDS: dict[str, Command] = {
    "/set": _set,
    "/show": _show,
    "/load": _load,
    "/save": _save,
    "/clear": _clear,
    "/list": _list,
    "/bye": _bye,
    "/exit": _bye,
    "/?": _help,
    "/help": _help,
}

SETTERS: dict[str, Setter] = {
    "parameter": _set_parameter,
    "system": _set_system,
    "history": _set_history,
    "nohistory": _set_nohistory,
    "wordwrap": _set_wordwrap,
    "nowordwrap": _set_nowordwrap,
    "format": _set_format,
    "noformat": _set_noformat,
    "verbose": _set_verbose,
    "quiet": _set_quiet,
    "think": _set_think,
    "nothink": _set_nothink,
}
