"""What the tests of the shell share."""

import pytest

from berth_operator.cli import run
from command_line import Berth


@pytest.fixture
def berth(capsys: pytest.CaptureFixture[str]) -> Berth:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
