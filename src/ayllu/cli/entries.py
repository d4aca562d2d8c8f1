"""The table of commands: where each lives and its line in the help.

Nothing is imported to print the help; click alone would take most of the time that it may take.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command: its module, its name there, and its line in the help."""

    module: str
    attribute: str
    help: str


COMMANDS = {
    "serve": Entry("ayllu.cli.serve", "serve", "Start the server"),
    "create": Entry("ayllu.cli.create", "create", "Create a model from a Modelfile or a GGUF file"),
    "quantize": Entry("ayllu.cli.quantize", "quantize", "Make a model smaller"),
    "tune": Entry("ayllu.cli.tune", "tune", "Train a model on your own data"),
    "show": Entry("ayllu.cli.models", "show", "Show information about a model"),
    "run": Entry("ayllu.cli.run", "run", "Run a model"),
    "stop": Entry("ayllu.cli.models", "stop", "Stop a running model, or the server"),
    "pull": Entry("ayllu.cli.pull", "pull_models", "Download or update models"),
    "push": Entry("ayllu.cli.push", "push", "Upload a model"),
    "list": Entry("ayllu.cli.models", "list_models", "List models"),
    "ps": Entry("ayllu.cli.models", "ps", "List running models"),
    "cp": Entry("ayllu.cli.models", "copy", "Copy a model"),
    "rm": Entry("ayllu.cli.models", "remove", "Remove models"),
    "up": Entry("ayllu.cli.cluster", "up", "Take part in an ayllu, or make one"),
    "invite": Entry("ayllu.cli.cluster", "invite", "Let another machine join"),
    "join": Entry("ayllu.cli.cluster", "join", "Join another machine's ayllu"),
    "pair": Entry("ayllu.cli.cluster", "pair", "Pair with a machine by six digits"),
    "nodes": Entry("ayllu.cli.nodes", "nodes", "Show the machines of this ayllu"),
    "contribute": Entry(
        "ayllu.cli.contribute", "contribute", "Say how much of this machine may be used"
    ),
    "deploy": Entry("ayllu.cli.deployments", "deploy", "Run a model on several machines"),
    "undeploy": Entry("ayllu.cli.deployments", "undeploy", "Let a deployed model go"),
    "plan": Entry("ayllu.cli.plan", "plan", "Say which machines would run a model"),
    "revoke": Entry("ayllu.cli.cluster", "revoke", "Take a machine out of the ayllu for good"),
    "leave": Entry("ayllu.cli.cluster", "leave", "Take this machine out of its ayllu"),
    "engine": Entry("ayllu.cli.engine", "engine", "Show the engine, llama-server"),
    "doctor": Entry("ayllu.cli.doctor", "doctor", "Check this machine and say what to mend"),
}
ALIASES = {"ls": "list", "start": "serve"}
OPTIONS = {
    "-v, --version": "Show the version of the server and of this command",
    "-h, --help": "Show this message",
}
ABOUT = "Run language models on your own machines."
HELP_FLAGS = ("-h", "--help")


def help_text() -> str:
    """What `ayllu --help` prints."""
    aliases = {name: alias for alias, name in ALIASES.items()}
    commands = {
        f"{name}, {aliases[name]}" if name in aliases else name: entry.help
        for name, entry in COMMANDS.items()
    }
    return (
        "Usage: ayllu [OPTIONS] COMMAND [ARGS]...\n\n"
        f"  {ABOUT}\n\n"
        f"Options:\n{_rows(OPTIONS)}\n"
        f"Commands:\n{_rows(commands)}\n"
        "'ayllu COMMAND --help' tells more about a command.\n"
    )


def _rows(rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    return "".join(f"  {name:<{width}}  {text}\n" for name, text in rows.items())
