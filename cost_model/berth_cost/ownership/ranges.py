"""How far each input of a scenario may be off: as stated, else as sourced, else ±10 %, marked as assumed."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from berth_cost.document import Source, parse_yaml, read_built_in, read_sources
from berth_cost.ownership.inputs import numbers_of
from berth_cost.ownership.scenario import Scenario

_FILE = "ownership_ranges.yaml"
ASSUMED = (Decimal("0.9"), Decimal("1.1"))
NOT_VARIED = frozenset(
    {
        "horizonMonths",
        "hoursPerMonth",
        "discountRatePercent",
        "gpus",
        "requestsPerSecond",
        "tokensPerRequest",
        "gCO2ePerKWh",
        "statedUSDPerYear",
        "minimumFullTimeEquivalents",
        "termMonths",
        "amount",
        "baseUSD",
    }
)
"""Definitions of the question, and what no cost depends on."""
WHOLE = frozenset({"lifeMonths", "termMonths"})
"""Kinds that are counted in whole numbers."""
_LIMITS: Mapping[str, tuple[Decimal, Decimal]] = {
    "utilizationPercent": (Decimal(0), Decimal(100)),
    "residualPercent": (Decimal(0), Decimal(100)),
    "shareOfCapexPercent": (Decimal(0), Decimal(90)),
    "pue": (Decimal(1), Decimal(10)),
    "lifeMonths": (Decimal(1), Decimal(600)),
    "termMonths": (Decimal(1), Decimal(600)),
    "gpus": (Decimal("0.001"), Decimal(10) ** 9),
    "nodesPerFullTimeEquivalent": (Decimal("0.001"), Decimal(10) ** 9),
    "amount": (Decimal("0.001"), Decimal(10) ** 9),
}
"""What a value can be at all."""


@dataclass(frozen=True, slots=True)
class Range:
    """From ``low`` over the stated ``base`` to ``high``."""

    input: str
    low: Decimal
    base: Decimal
    high: Decimal
    source: str
    assumed: bool
    """Nobody stated it, and no source is known for inputs of the kind."""

    @property
    def kind(self) -> str:
        """The last part of the name that says what it is: an item has that of its table."""
        parts = self.input.split(".")
        return parts[-2] if len(parts) > 1 and parts[-2] in ("monthlyUSD", "oneTimeUSD") else parts[-1]


@dataclass(frozen=True, slots=True)
class _Rule:
    source: str
    factors: tuple[Decimal, Decimal] | None
    values: tuple[Decimal, Decimal] | None
    by_life: tuple[tuple[int, Decimal, Decimal], ...]


def unknown_inputs(scenario: Scenario) -> list[str]:
    """The names under ``ranges`` that are no number of the scenario."""
    known = numbers_of(scenario)
    return [name for name in scenario.ranges if name not in known]


def ranges_of(scenario: Scenario) -> list[Range]:
    """One for each input that can be varied and whose range has a width; in the order of their names."""
    found = []
    numbers = numbers_of(scenario)
    for name, base in sorted(numbers.items()):
        stated = scenario.ranges.get(name)
        if stated is not None:
            low, high = min(stated.low, base), max(stated.high, base)
            found.append(Range(name, low, base, high, stated.source or "stated", assumed=False))
        elif name.rpartition(".")[2] not in NOT_VARIED:
            found.append(_default(name, base, numbers))
    limited = [_limited(each) for each in found]
    return [each for each in limited if each.low < each.high]


def _default(name: str, base: Decimal, numbers: Mapping[str, Decimal]) -> Range:
    rule = None if "monthlyUSD" in name or "oneTimeUSD" in name else _rules().get(name.rpartition(".")[2])
    if rule is None:
        source = "assumed: ±10 %"
        return Range(name, base * ASSUMED[0], base, base * ASSUMED[1], source, assumed=True)
    if rule.factors is not None:
        return Range(name, base * rule.factors[0], base, base * rule.factors[1], rule.source, assumed=False)
    low, high = rule.values or _of_life(rule, numbers.get(f"{name.rpartition('.')[0]}.lifeMonths", Decimal(48)))
    return Range(name, min(low, base), base, max(high, base), rule.source, assumed=False)


def _of_life(rule: _Rule, life_months: Decimal) -> tuple[Decimal, Decimal]:
    """Of the longest life in the table that is not longer; of the shortest where all are."""
    fitting = [each for each in rule.by_life if each[0] <= life_months] or list(rule.by_life[:1])
    return fitting[-1][1], fitting[-1][2]


def _limited(each: Range) -> Range:
    lowest, highest = _LIMITS.get(each.kind, (None, None))
    low = each.low if lowest is None else min(max(each.low, lowest), each.base)
    high = each.high if highest is None else max(min(each.high, highest), each.base)
    return Range(each.input, low, each.base, high, each.source, each.assumed)


@cache
def _rules() -> Mapping[str, _Rule]:
    document = parse_yaml(read_built_in(_FILE), _FILE)
    sources: Mapping[str, Source] = read_sources(document, _FILE)
    rules: dict[str, _Rule] = {}
    for stated in document["ranges"]:
        by_life = tuple(
            (int(months), Decimal(low), Decimal(high))
            for months, (low, high) in sorted(stated.get("byLifeMonths", {}).items())
        )
        rule = _Rule(
            source=sources[stated["source"]].title,
            factors=_pair(stated.get("factors")),
            values=_pair(stated.get("values")),
            by_life=by_life,
        )
        rules.update(dict.fromkeys(stated["inputs"], rule))
    return rules


def _pair(stated: list[str] | None) -> tuple[Decimal, Decimal] | None:
    return None if stated is None else (Decimal(stated[0]), Decimal(stated[1]))
