"""A replay of spot policies as a page, and as Markdown."""

from berth_cost.spot.replay import PolicyReplay, Replay
from berth_operator.cli.output import Column, Page, cell
from berth_operator.cli.plan_view import markdown_row
from berth_scheduler.wording import number, plural

COLUMNS = (
    Column("POLICY"),
    Column("READY", right=True),
    Column("COST", right=True),
    Column("LOST/DAY", right=True),
    Column("SPOT", right=True),
    Column("ON DEMAND", right=True),
    Column("", least=20),
)


def headline(replay: Replay) -> str:
    """``3 replicas wanted on 9 zones of 3 regions, 30.3 days.``"""
    return (
        f"{plural(replay.want, 'replica')} wanted on {plural(len(replay.zones), 'zone')} of"
        f" {plural(len(set(replay.regions)), 'region')}, {number(replay.days, 3)} days."
    )


def rules(replay: Replay) -> str:
    stated = replay.rules
    return (
        f"Ticks of {stated.tick_seconds:g} s, ready after {plural(stated.start_ticks, 'tick')}, spot at"
        f" {stated.spot_price_share:g} of on demand, at most {stated.per_zone_limit} a zone. READY: share of the time"
        " with all of them ready; COST: of as many on demand. SPOT and ON DEMAND: replicas held on average."
        f" Learned from: {replay.fit}."
    )


def show_replay(page: Page, replay: Replay) -> None:
    page.sentence(headline(replay), "bold")
    page.sentence(rules(replay))
    page.gap()
    page.table(COLUMNS, [[cell(text) for text in _cells(one)] for one in replay.policies])


def replay_markdown(replay: Replay) -> str:
    rows = [
        markdown_row("policy", "ready", "cost", "lost a day", "spot", "on demand", ""),
        "| --- | --: | --: | --: | --: | --: | --- |",
        *(markdown_row(*_cells(one)) for one in replay.policies),
    ]
    return f"**{headline(replay)}** {rules(replay)}\n\n" + "\n".join(rows) + "\n"


def _cells(one: PolicyReplay) -> list[str]:
    return [
        one.name,
        f"{one.ready_share * 100:.2f} %",
        f"{one.cost_share:.3f}",
        f"{one.preemptions_per_day:.1f}",
        f"{one.spot_replicas:.2f}",
        f"{one.on_demand_replicas:.2f}",
        one.summary,
    ]
