"""Commands that read manifests or a cluster: the options that say which, added to the options of their own."""

import inspect
from collections.abc import Callable
from typing import Any

from berth_operator.cli import options
from berth_operator.cli.sources import Sources

_KEYWORD, _PLACE = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
_FIRST = (
    inspect.Parameter("more", _PLACE, default=None, annotation=options.MoreFiles),
    inspect.Parameter("files", _KEYWORD, default=None, annotation=options.Files),
    inspect.Parameter("cluster", _KEYWORD, default=False, annotation=options.Cluster),
)
_LAST = (
    inspect.Parameter("at", _KEYWORD, default=None, annotation=options.At),
    inspect.Parameter("settings", _KEYWORD, default=None, annotation=options.SettingsFile),
    inspect.Parameter("kubeconfig", _KEYWORD, default=None, annotation=options.Kubeconfig),
    inspect.Parameter("context", _KEYWORD, default=None, annotation=options.Context),
)


def from_sources(command: Callable[..., int]) -> Callable[..., int]:
    """``command(sources, *, …)`` as a command line: its own options stand between those that name the sources."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()

    def run(**given: Any) -> int:
        names = ("cluster", "kubeconfig", "context", "settings", "at")
        files = (*(given.pop("files") or ()), *(given.pop("more") or ()))
        return command(Sources(files, **{name: given.pop(name) for name in names}), **given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature([*_FIRST, *own, *_LAST], return_annotation=int)  # type: ignore[attr-defined]
    return run
