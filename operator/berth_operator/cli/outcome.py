"""How a command ends: exit codes, and the error that says what was wrong with what the person gave."""

from enum import IntEnum

NO_PLOTS = "pictures need matplotlib, which is not installed: pip install 'berthmaster[plots]'"


class Outcome(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    INPUT_ERROR = 1
    """Something in the input is wrong, the command line included, or the cluster cannot be read."""
    DOES_NOT_HOLD = 2
    """The answer is there, and it is no: something cannot be placed, or costs more than ``--fail-above`` allows."""


class InputError(Exception):
    """Raised for what only the person at the command line can mend; each line names what, where and what to do."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
