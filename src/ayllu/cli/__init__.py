"""The command `ayllu`.

Answers go to stdout, progress and errors to stderr; an error is one sentence and exit status 1.
Every heavy import waits inside the command that needs it.
"""

import os
import sys

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT, as shells report it."""
PIPE_CLOSED = 141
"""Exit status when the reader of our output went away: 128 and the number of SIGPIPE."""


def main() -> None:
    """Run the command line in `sys.argv` and exit with its status."""
    try:
        status = _run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            sys.stderr.write("\n")
        status = INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        status = PIPE_CLOSED
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    from ayllu.cli.entries import HELP_FLAGS, help_text

    if not arguments or arguments[0] in HELP_FLAGS:
        print(help_text(), end="")
        return 0
    from ayllu.cli.commands import run

    return run(arguments)


def _drop_output() -> None:
    """Point stdout at nothing, so that Python's own flush at exit stays silent."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
