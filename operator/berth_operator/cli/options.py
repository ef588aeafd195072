"""The options that commands share, each said once."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from berth_operator.cli.output import Format


def parse_time(text: str) -> datetime:
    """ISO 8601; without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-11-02T12:00:00Z") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


Files = Annotated[
    list[Path] | None,
    typer.Option("-f", "--filename", metavar="FILE_OR_DIR", help="Manifests, directories too; - is stdin."),
]
MoreFiles = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE_OR_DIR]...", help="More files, as in -f *.yaml.", show_default=False),
]
Cluster = Annotated[
    bool, typer.Option("--cluster", help="Read the live cluster; with -f, as it would be with the files applied.")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="For --cluster; by default as kubectl finds it.")
]
Context = Annotated[str | None, typer.Option("--context", metavar="NAME", help="For --cluster: of the kubeconfig.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="The operator's settings: catalogues, platform, policy."),
]
At = Annotated[
    datetime | None,
    typer.Option("--at", metavar="TIME", parser=parse_time, help="The time of the plan, ISO 8601; by default now."),
]
Namespace = Annotated[str | None, typer.Option("-n", "--namespace", metavar="NAME", help="The workload's namespace.")]
OnlyNamespace = Annotated[
    str | None,
    typer.Option("-n", "--namespace", metavar="NAME", help="Show this namespace only; the whole fleet is planned."),
]
As = Annotated[Format, typer.Option("-o", "--output", help="Format of the result.")]
To = Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write the result to a file.")]
