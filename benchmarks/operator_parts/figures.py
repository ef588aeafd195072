"""One table a benchmark: what was reached beside its goal, then where the time goes."""

import os
import re
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from operator_process import OperatorProcess

HEALTH_PORT = 8080


@dataclass(frozen=True)
class Figure:
    """``goal``, where there is one, is the most that it may be."""

    name: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def missed(self) -> bool:
        return self.goal is not None and self.value > self.goal


def show(title: str, figures: Sequence[Figure], details: Sequence[Figure], remark: str = "") -> int:
    """Print the table; the exit code: 1 where a goal is missed."""
    table = Table(title=title, caption=f"{os.cpu_count()} cores. {remark}".strip(), title_justify="left")
    table.add_column("figure")
    for heading in ("reached", "goal", ""):
        table.add_column(heading, justify="right")
    for each in figures:
        goal = "" if each.goal is None else f"≤ {_number(each.goal)} {each.unit}"
        verdict = "" if each.goal is None else "missed" if each.missed else "reached"
        table.add_row(each.name, f"{_number(each.value)} {each.unit}", goal, verdict)
    table.add_section()
    for each in details:
        table.add_row(each.name, f"{_number(each.value)} {each.unit}", "", "")
    Console(width=110).print(table)
    return int(any(each.missed for each in figures))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"


def scraped(operator: OperatorProcess) -> dict[str, float]:
    """The operator's own metrics: sums and counts by name, added up over their labels."""
    with urllib.request.urlopen(f"http://{operator.address}:{HEALTH_PORT}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not re.search("_bucket$|_created$", sample.name):
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def cpu_rows(spent: dict[str, float]) -> list[Figure]:
    """``spent`` is CPU seconds by process; last what everybody else on the machine took from them."""
    return [Figure(f"CPU of {name}", seconds, "s") for name, seconds in spent.items()]
