"""``berth cost …``: what ways of getting GPUs cost and risk, without a cluster."""

import typer

from berth_operator.cli.cost_commit import cost_commit
from berth_operator.cli.cost_compare import cost_compare
from berth_operator.cli.cost_export import cost_export
from berth_operator.cli.cost_replay import cost_replay

cost = typer.Typer(
    name="cost",
    help="What ways of getting GPUs cost, against which alternative, and what they risk.",
    no_args_is_help=True,
    add_completion=False,
)

cost.command("replay")(cost_replay)
cost.command("export")(cost_export)
cost.command("compare")(cost_compare)
cost.command("commit")(cost_commit)
