"""The command line: a click group whose commands are imported only when they run."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import click

from ayllu.cli.entries import ABOUT, ALIASES, COMMANDS, HELP_FLAGS, help_text
from ayllu.errors import AylluError


class LazyGroup(click.Group):
    """The commands of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command of that name or alias; None when there is none."""
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def get_help(self, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """The help that is printed without click, too."""
        return help_text().removesuffix("\n")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one the user may have meant."""
        name = args[0]
        if not name.startswith("-") and ALIASES.get(name, name) not in COMMANDS:
            close = difflib.get_close_matches(name, [*COMMANDS, *ALIASES], n=1)
            hint = f", did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from ayllu.cli.version import print_version

        print_version()
        ctx.exit()


@click.group(
    cls=LazyGroup,
    help=ABOUT,
    context_settings={"help_option_names": HELP_FLAGS, "max_content_width": 100},
)
@click.option(
    "-v", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version
)
def ayllu() -> None:
    """Hold the commands."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status.

    KeyboardInterrupt and BrokenPipeError pass through.
    """
    _allow_any_text()
    try:
        with ayllu.make_context("ayllu", list(arguments)) as context:
            ayllu.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        return _fail(error.format_message() + _help_hint(error))
    except click.ClickException as error:
        return _fail(error.format_message())
    except AylluError as error:
        return _fail(error.sentence)
    return 0


def _allow_any_text() -> None:
    """Print `?` for what the terminal's encoding lacks, rather than fail in mid-answer."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _help_hint(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "ayllu"
    return f"\nSee '{path} --help'."


def _fail(sentence: str) -> int:
    sys.stdout.flush()
    print(f"Error: {sentence}", file=sys.stderr)
    return 1
