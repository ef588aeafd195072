"""``berth``: its commands by name. What a command needs is imported when it runs, so that help answers at once."""

import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

ROOM = "berth_operator.cli"
COMMANDS = {
    "plan": (
        "commands:plan",
        "Decide for all workloads: GPUs, precision, replicas, prediction, cost, and what cannot be placed.",
    ),
    "replay": ("commands:replay", "Plan a snapshot again: the same plan, bit for bit."),
    "explain": ("commands:explain_workload", "Why this berth, why not the others, and what would change the answer."),
    "render": ("commands:render", "The manifests that the operator would apply for what can be placed."),
    "snapshot": ("commands:snapshot", "What a plan depends on, as one file: berth replay plans it again."),
    "simulate": (
        "commands:simulate",
        "The replica controller against a trace of demand, beside static sizing, HPA, KEDA and hindsight.",
    ),
    "rightsize": (
        "rightsize_command:rightsize",
        "What another berth would save, under the traffic that was observed, and whether the change pays.",
    ),
    "predict": (
        "predict_command:predict",
        "Latency, throughput, memory and power of every case, each with its 90 % band.",
    ),
    "validate": ("validate_command:validate", "Errors of the predictions of cases with `observed`."),
    "measure": (
        "measure_command:measure",
        "Measure a live server under a bounded load, and write cases with `observed`.",
    ),
    "probe": ("probe_command:probe", "Ask the driver what this node's GPUs are."),
    "report": (
        "report.command:report",
        "One HTML page for whoever pays: cost now and planned, where a saving comes from, risks, prices.",
    ),
    "cost": ("cost_commands:cost", "What ways of getting GPUs cost, against which alternative, and what they risk."),
    "prices": ("prices:prices_app", "What GPU nodes cost: list, compare, explain, diff, refresh."),
}
"""Where the command, or the group of commands, is defined, and the line that help has for it, as its own begins."""


class LateCommand(TyperCommand):
    """Stands for a command until it is asked for more than its line of help."""

    def __init__(self, name: str, place: str, line: str) -> None:
        super().__init__(name=name, callback=None, help=line)
        self._module, _, self._attribute = place.partition(":")

    @property
    def loaded(self) -> Any:
        """The command itself."""
        found = getattr(importlib.import_module(f"{ROOM}.{self._module}"), self._attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(found)
        return typer.main.get_command(alone)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Of the command itself, which is the one that is then invoked."""
        return self.loaded.make_context(info_name, args, parent, **extra)


class LateCommands(TyperGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (place, line) in COMMANDS.items():
            self.add_command(LateCommand(name, place, line))


app = typer.Typer(
    name="berth",
    cls=LateCommands,
    help="Which GPU, at which precision, how many, bought how, at what price, and why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def berth() -> None:
    """A group even before any of its commands is known."""
