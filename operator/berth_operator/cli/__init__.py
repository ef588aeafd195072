"""``berth``, also installed as ``kubectl-berth`` so that ``kubectl berth plan`` works."""

import sys
from collections.abc import Sequence

import typer

from berth_operator.cli.application import app
from berth_operator.cli.outcome import InputError, Outcome

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What a wrong command line raises: the base of the one of its kinds that typer exports."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is an :class:`Outcome`, and a wrong command line is an error in the input."""
    try:
        result = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except InputError as error:
        for line in error.lines:
            sys.stderr.write(f"error: {line}\n")
        return Outcome.INPUT_ERROR
    except USAGE_ERROR as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        return Outcome.INPUT_ERROR
    except typer.Abort:
        return 130
    except BrokenPipeError:
        # Whoever reads the pipe has seen enough: `berth plan … | head`.
        sys.stderr.close()
        return Outcome.DONE
    return int(result or Outcome.DONE)


def main() -> None:
    sys.exit(run())
