"""The numbers of a scenario by name (``owned.capexUSD``, ``demand.utilizationPercent``), and how to change them."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from berth_cost.ownership.amount import Number
from berth_cost.ownership.scenario import Option, Scenario
from berth_cost.record import Record

Change = Callable[[str, Decimal], Number]
"""(name of the input, its value) → what to put there."""


def changed(scenario: Scenario, change: Change) -> Scenario:
    """A copy in which each decimal is what ``change`` makes of it. Not validated: numbers may become arrays."""
    copy: Scenario = _changed(scenario, "", change)
    return copy


def numbers_of(scenario: Scenario) -> dict[str, Decimal]:
    """All decimals that are stated, by name, in the order of the scenario."""
    found: dict[str, Decimal] = {}

    def note(name: str, value: Decimal) -> Decimal:
        found[name] = value
        return value

    changed(scenario, note)
    return found


def in_floats(scenario: Scenario, draws: Mapping[str, Number]) -> Scenario:
    """A copy that computes in floats: the inputs of ``draws`` are arrays, all others single numbers."""
    return changed(scenario, lambda name, value: draws[name] if name in draws else float(value))


def _changed(value: Any, name: str, change: Change) -> Any:
    match value:
        case Decimal():
            return change(name, value)
        case Record():
            # An option's block goes by the name of the option: rented.usdPerGPUHour, not options[1].rented.usdPer….
            inside = value.name if isinstance(value, Option) else name
            return value.model_copy(
                update={
                    field: _changed(
                        getattr(value, field),
                        inside if isinstance(value, Option) else _joined(inside, info.alias or field),
                        change,
                    )
                    for field, info in type(value).model_fields.items()
                    if field != "ranges"
                }
            )
        case dict():
            return {key: _changed(each, _joined(name, key), change) for key, each in value.items()}
        case tuple():
            return tuple(_changed(each, name, change) for each in value)
        case _:
            return value


def _joined(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part
