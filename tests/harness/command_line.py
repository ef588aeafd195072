"""The command line as a test calls it."""

from collections.abc import Callable

Berth = Callable[..., tuple[int, str, str]]
"""``berth(*arguments)``: exit code, stdout, stderr."""
