"""Whatever stands in a scenario file, it is computed or refused by name; and costs behave as costs do."""

import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_cost.ownership.comparison import Comparison, compare
from berth_cost.ownership.pricing import ScenarioError
from berth_cost.ownership.scenario import Scenario
from berth_cost.prices.book import PriceBook
from berth_cost.spending.carbon import CarbonTable
from berth_operator.cli.outcome import InputError
from berth_operator.cli.scenario_file import ScenarioFile
from reference_scenarios import scenario

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cost" / "buy-or-rent.yaml"
BOOK, CARBON = PriceBook.load_builtin(), CarbonTable.load_builtin()

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            10**15,
            -49,
            1000,
            "0.000000001",
            "1,000",
            "€5",
            "NaN",
            "-0",
            "1e9",
            "0",
            "100",
            "120",
            "0.7",
            "98.32",
            "\u0661",
        ]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, the deepest last."""
    found = [at] if at else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*at, key))
    return found


STATED = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))


@settings(max_examples=200, deadline=None)
@given(changes=st.lists(st.tuples(st.sampled_from(places(STATED)), ODD), min_size=1, max_size=3))
def test_a_mangled_scenario_is_answered_or_refused_by_name(
    changes: list[tuple[tuple[Any, ...], Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    mangled = copy.deepcopy(STATED)
    for (*steps, last), value in changes:
        at = mangled
        for step in steps:
            if not (isinstance(at, dict) and step in at) and not (isinstance(at, list) and step in range(len(at))):
                break
            at = at[step]
        else:
            if isinstance(at, dict) or (isinstance(at, list) and last in range(len(at))):
                at[last] = value
    file = tmp_path_factory.getbasetemp() / "scenario.yaml"
    file.write_text(yaml.safe_dump(mangled, allow_unicode=True), encoding="utf-8")
    try:
        read = ScenarioFile(file)
        if read.scenario.demand.gpus is not None:
            result = compare(read.scenario, BOOK, CARBON, draws=20, scaling=True)
            assert Comparison.model_validate_json(result.model_dump_json()) == result
            assert all(option.total_usd.is_finite() for option in result.options)
    except InputError as error:
        assert all("scenario.yaml" in line for line in error.lines)
    except ScenarioError as error:
        assert all(flaw.path for flaw in error.flaws)


def compared(stated: dict[str, Any]) -> Comparison:
    return compare(Scenario.model_validate(stated, by_name=False), BOOK, CARBON)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(1000, 100_000))
def test_the_other_way_round_a_saving_is_a_loss(seed: int) -> None:
    stated = scenario(seed)
    there = compared(stated).options[0]
    back = compared({**stated, "baseline": "owned"}).options[1]
    assert there.saving_usd == -(back.saving_usd or Decimal(0))
    assert there.npv_usd == -(back.npv_usd or Decimal(0))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(1000, 100_000), factor=st.sampled_from(["2", "0.5", "10"]))
def test_a_dearer_baseline_never_makes_owning_worse(seed: int, factor: str) -> None:
    stated = scenario(seed)
    dearer = copy.deepcopy(stated)
    rented = dearer["options"][1]["rented"]
    rented["usdPerGPUHour"] = str(Decimal(rented["usdPerGPUHour"]) * Decimal(factor))
    before, after = compared(stated).options[0], compared(dearer).options[0]
    assert before.total_usd == after.total_usd
    assert before.saving_usd is not None and after.saving_usd is not None
    assert (after.saving_usd > before.saving_usd) == (Decimal(factor) > 1)
