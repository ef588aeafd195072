"""Hostile files about money, through the command line: refused by name and line, or flagged, never silently used."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Berth

AT = ("--at", "2026-11-20")
HEAD = "cloud,region,instance_type,usd_per_hour,source,date"
ROW = "aws,us-east-1,g6.xlarge,0.80,mine,2026-11-01"
Told = Callable[..., tuple[int, str]]


@pytest.fixture
def told(berth: Berth, tmp_path: Path) -> Told:
    """The exit code of a command over a file, and all that it says, as one line."""

    def call(content: str | bytes, name: str, *arguments: str) -> tuple[int, str]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        dated = AT if "replay" not in arguments else ()
        code, out, err = berth(*(str(path) if one == "FILE" else one for one in arguments), *dated)
        return code, " ".join(f"{err} {out}".replace(str(tmp_path), "").split())

    return call


# --- price files -------------------------------------------------------------------------------------------------


def with_price(cell: str) -> str:
    return f"{HEAD}\n{ROW.replace('0.80', cell)}\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (with_price("-1"), "/p.csv:2: prices[0].usd_per_hour: input should be greater than 0"),
        (with_price("0"), "/p.csv:2: prices[0].usd_per_hour: input should be greater than 0"),
        (with_price("NaN"), "/p.csv:2: prices[0].usd_per_hour: must be a finite number"),
        (with_price("inf"), "/p.csv:2: prices[0].usd_per_hour: must be a finite number"),
        (with_price('"1,234.5"'), "/p.csv:2: prices[0].usd_per_hour: '1,234.5' has a thousands separator"),
        (with_price('"0,80"'), "/p.csv:2: prices[0].usd_per_hour: '0,80' has a decimal comma"),
        (with_price("$0.80"), "/p.csv:2: prices[0].usd_per_hour: '$0.80' has more than a number"),
        (f"{HEAD},currency\n{ROW},USD\n{ROW.replace('east', 'west')},EUR\n", "/p.csv:3: prices[1].currency: is EUR"),
        (f"{HEAD},currency\n{ROW},XYZ\n", "/p.csv:2: prices[0].currency: is XYZ"),
        (f"{HEAD},colour\n{ROW},red\n", "/p.csv:1: colour: is not a known column"),
        (f"{HEAD}\n{ROW}\n{ROW}\n", "/p.csv:3: prices[1]: repeats the cloud"),
        (f"{HEAD},gpu,gpu_count\n{ROW},L4,12\n", "/p.csv:2: instances[0].gpuCount: is 12, but g6.xlarge has 1"),
        (f"{HEAD}\n{ROW.replace('2026-11-01', '2026-13-41')}\n", "/p.csv:2: date: is '2026-13-41': state a day"),
        (f"{HEAD}\n{ROW.replace('2026-11-01', '01/11/2026')}\n", "/p.csv:2: date: is '01/11/2026': state a day"),
        ("", "/p.csv: is not a table"),
        (f"{HEAD}\n", "/p.csv:1: has a head and no price"),
        ((f"{HEAD}\n{ROW}\n").encode("utf-16"), "/p.csv: is not UTF-8 text"),
    ],
)
def test_a_price_file_that_cannot_be_meant_is_refused_by_line(told: Told, content: str | bytes, why: str) -> None:
    code, said = told(content, "p.csv", "prices", "list", "--prices", "FILE")
    assert code == 1
    assert why in said


def row(**changed: str) -> str:
    cells = dict(zip(HEAD.split(","), ROW.split(","), strict=True)) | changed
    return f"{','.join(cells)}\n{','.join(cells.values())}\n"


@pytest.mark.parametrize(
    ("content", "flag"),
    [
        (row(usd_per_hour="700"), "Sentinel"),
        (row(usd_per_hour="6.44"), "NodePriceAsGPUPrice"),
        (row(usd_per_hour="0.10"), "PricedWithoutGPU"),
        (row(usd_per_hour="1.00", capacity_type="Spot"), "SpotAboveOnDemand"),
        (row(instance_type="p5.48xlarge", usd_per_hour="6.88"), "GPUPriceAsNodePrice"),
        (row(region="us-esat-1"), "Misspelt: nobody else names aws us-esat-1 g6.xlarge OnDemand: is us-east-1 meant?"),
        (row(region="us-eastt-1"), "Misspelt"),
        (row(cloud="asw"), "Misspelt: nobody else names asw us-east-1 g6.xlarge OnDemand: is aws meant?"),
        (row(instance_type="g6.xlrage"), "Misspelt"),
    ],
)
def test_a_price_that_looks_wrong_is_flagged_and_not_used(told: Told, content: str, flag: str) -> None:
    code, said = told(content, "p.csv", "prices", "list", "--prices", "FILE", "--flagged")
    assert (code, "1 price not used because it looks wrong: /p.csv:2" in said) == (0, True)
    assert flag in said


def test_a_region_that_the_book_does_not_know_yet_is_no_slip(told: Told) -> None:
    content = row(region="us-east-3") + ROW.replace("us-east-1", "mars-north-1") + "\n"
    code, said = told(content, "p.csv", "prices", "list", "--prices", "FILE", "--flagged")
    assert (code, "Misspelt" in said) == (0, False)


def test_a_slip_that_is_none_can_be_accepted(told: Told) -> None:
    content = row(region="us-esat-1", accept="Misspelt")
    _, said = told(content, "p.csv", "prices", "explain", "aws", "us-esat-1", "g6.xlarge", "--prices", "FILE")
    assert "/p.csv, line 2" in said or "/p.csv:2" in said


def test_a_price_of_the_future_is_used_and_said(told: Told) -> None:
    content = row(date="2027-11-01")
    listing = ("prices", "list", "--prices", "FILE", "--type", "g6.xlarge", "--region", "us-east-1")
    _, said = told(content, "p.csv", *listing)
    assert "1 dated in the future" in said
    assert "2027-11-01 to come" in said


def test_a_byte_order_mark_is_not_in_the_way(told: Told) -> None:
    code, said = told(
        f"\ufeff{row()}", "p.csv", "prices", "explain", "aws", "us-east-1", "g6.xlarge", "--prices", "FILE"
    )
    assert (code, "mine" in said) == (0, True)


# --- what a pool states ------------------------------------------------------------------------------------------

POOL = """\
apiVersion: berthmaster.dev/v1alpha1
kind: GPUPool
metadata: {{name: pool}}
spec:
  nodeSelector: {{pool: l4}}
  gpu: L4
  gpusPerNode: {gpus}
  maximumNodes: 4
  capacityType: OnDemand
  price: {{{price}}}
"""


@pytest.mark.parametrize(
    ("price", "gpus", "why"),
    [
        ('usdPerNodeHour: "700"', 1, "is it of more GPUs, or of another time than an hour?"),
        ('usdPerNodeHour: "0.001"', 1, "$0.001 an hour for one L4, and such GPUs are listed at"),
        ('usdPerNodeHour: "0.40"', 8, "is it of one GPU?"),
    ],
)
def test_a_stated_price_unlike_any_other_is_used_and_said(told: Told, price: str, gpus: int, why: str) -> None:
    _, said = told(POOL.format(price=price, gpus=gpus), "pool.yaml", "plan", "-f", "FILE")
    assert why in said


@pytest.mark.parametrize("price", ["0.35", "0.8", "2.5"])
def test_a_stated_price_that_somebody_may_have_negotiated_is_not_doubted(told: Told, price: str) -> None:
    _, said = told(POOL.format(price=f'usdPerNodeHour: "{price}"', gpus=1), "pool.yaml", "plan", "-f", "FILE")
    assert "such GPUs are listed" not in said


@pytest.mark.parametrize("amount", ["-1", "NaN", ".inf", "1,234.5", "0,8", "0", "$1"])
def test_a_stated_price_that_is_no_amount_is_refused_by_line(told: Told, amount: str) -> None:
    content = POOL.format(price=f'usdPerNodeHour: "{amount}"', gpus=1)
    for command in (("plan",), ("report",), ("cost", "export")):
        code, said = told(content, "pool.yaml", *command, "-f", "FILE")
        assert (code, "/pool.yaml:10: spec.price.usdPerNodeHour: must be" in said) == (1, True)


# --- scenarios ---------------------------------------------------------------------------------------------------

SCENARIO = """\
horizonMonths: 48
hoursPerMonth: "730"
demand: {gpus: 64, utilizationPercent: "70"}
baseline: rented
options:
  - name: owned
    owned:
      capexUSD: "1920000"
      lifeMonths: 48
      residualPercent: "10"
      opexUSDPerMonth: "15180.85"
  - name: rented
    rented:
      usdPerGPUHour: "2.00"
"""


@pytest.mark.parametrize(
    ("stated", "instead", "why"),
    [
        ('"2.00"', '"-2"', "/s.yaml:14: options[1].rented.usdPerGPUHour: must be above 0, not -2"),
        ('"2.00"', '"NaN"', "/s.yaml:14: options[1].rented.usdPerGPUHour: must be a plain decimal number"),
        ('"2.00"', ".inf", "/s.yaml:14: options[1].rented.usdPerGPUHour: must be a plain decimal number"),
        ('"2.00"', '"1,234.5"', "without separators between thousands: is '1,234.5' '1234.5'?"),
        ('"2.00"', '"2,00"', "/s.yaml:14: options[1].rented.usdPerGPUHour: must be a plain decimal number"),
        ('"2.00"', '"2.00 EUR"', "in US dollars: convert '2.00 EUR'"),
        ("lifeMonths: 48", "lifeMonths: 0", "/s.yaml:9: options[0].owned.lifeMonths: must be whole months"),
        ('"70"', '"120"', "/s.yaml:3: demand.utilizationPercent: must be from 0 to 100, not 120"),
        ("baseline: rented", "baseline: rnted", "baseline rnted names no option; there are owned, rented"),
        ("lifeMonths: 48", "lifeMonths: 48\n      lifeMonths: 36", "is there twice, first on line 9"),
        ('usdPerGPUHour: "2.00"', 'eurPerGPUHour: "2"', "/s.yaml:14: options[1].rented.eurPerGPUHour: unknown field"),
        (
            'usdPerGPUHour: "2.00"',
            "price: {cloud: aws, region: us-esat-1, instanceType: p5.48xlarge}",
            "/s.yaml:14: options[1].rented.price: the price book has no price of p5.48xlarge in us-esat-1",
        ),
    ],
)
def test_a_scenario_that_cannot_be_meant_is_refused_by_line(told: Told, stated: str, instead: str, why: str) -> None:
    code, said = told(SCENARIO.replace(stated, instead, 1), "s.yaml", "cost", "compare", "FILE")
    assert code == 1
    assert why in said


@pytest.mark.parametrize(
    ("stated", "instead", "why"),
    [
        ('"2.00"', '"55.04"', "rented.usdPerGPUHour: $55.04/h for one GPU is above every GPU of the price book"),
        ('"2.00"', '"0.001"', "rented.usdPerGPUHour: $0.001/h for one GPU is below every GPU of the price book"),
        ('"70"', '"0"', "demand.utilizationPercent: 0: nothing is used"),
        ("lifeMonths: 48", "lifeMonths: 4", "owned.lifeMonths: 4 is no life of servers (36 to 72 months)"),
        ('residualPercent: "10"', 'residualPercent: "95"', "owned.residualPercent: 95 is above what anybody pays"),
        ('"15180.85"', '"1518085"', "owned.opexUSDPerMonth: $1,518,085 a month is more than a fifth of the hardware"),
        ('"1920000"', '"30000"', "owned.capexUSD: comes to $469 a GPU"),
    ],
)
def test_a_scenario_that_looks_wrong_is_flagged(told: Told, stated: str, instead: str, why: str) -> None:
    code, said = told(SCENARIO.replace(stated, instead, 1), "s.yaml", "cost", "compare", "FILE")
    assert code == 0
    assert "Looks wrong (used as stated)" in said
    assert why in said


# --- demand ------------------------------------------------------------------------------------------------------

COMMIT = ("cost", "commit", "--trace", "FILE", "--node", "aws/us-east-1/g6.xlarge", "--replica-rate", "2")


def demand(changed: dict[int, str] | None = None, *, without: range = range(0)) -> str:
    """Fifteen days by the hour; ``changed`` by number of the line."""
    rows = [f"{hour * 3600},{600 + 300 * math.sin(hour / 24 * 2 * math.pi):.3f}" for hour in range(24 * 15)]
    lines = ["t_s,requests_per_min", *rows]
    for number, line in (changed or {}).items():
        lines[number - 1] = line
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in without) + "\n"


@pytest.mark.parametrize("cell", ["-5", "NaN", "inf", '"1,234.5"', "abc", ""])
def test_demand_that_is_no_number_is_refused_by_line(told: Told, cell: str) -> None:
    code, said = told(demand({51: f"{49 * 3600},{cell}"}), "d.csv", *COMMIT)
    assert code == 1
    assert "/d.csv: line 51: requests_per_min is" in said


def test_a_gap_in_demand_is_said_with_its_line(told: Told) -> None:
    code, said = told(demand(without=range(100, 140)), "d.csv", *COMMIT)
    assert code == 0
    assert "/d.csv: line 100: no row for 41 h before it: taken to run straight from row to row" in said
    assert "no row for" not in told(demand(), "d.csv", *COMMIT)[1]


@pytest.mark.parametrize(
    ("date", "code", "why"),
    [
        ("2019-11-01", 1, "is of 2019-11-01, older than 730 days: give a newer one with --prices"),
        ("2025-11-01", 0, "note: the OnDemand price of aws/us-east-1/g6.xlarge is of 2025-11-01: by now it may be"),
        ("2027-11-01", 0, "is of 2027-11-01, in the future: correct the date"),
    ],
)
def test_a_commitment_is_weighed_on_prices_of_today(told: Told, tmp_path: Path, date: str, code: int, why: str) -> None:
    prices = tmp_path / "p.csv"
    prices.write_text(row(date=date), encoding="utf-8")
    found, said = told(demand(), "d.csv", *COMMIT, "--prices", str(prices))
    assert (found, why in said) == (code, True)


# --- traces of capacity, and exports -----------------------------------------------------------------------------

TRACE = "trace_id,tick_start,tick_end,nodes_available\nus-east-1a,0,20,1\nus-east-1a,20,40,0\nus-west-2b,0,40,1\n"


@pytest.mark.parametrize(
    ("stated", "instead", "why"),
    [
        ("0,40,1", "0,40,-1", "line 4: nodes_available must be a whole number of at least 0"),
        ("0,40,1", "0,40,NaN", "line 4: nodes_available must be a whole number"),
        ("0,40,1", '0,40,"1,000"', "line 4: nodes_available must be a whole number of at least 0 without separators"),
        ("20,40,0", "25,40,0", "line 3: of us-east-1a starts at tick 25: ticks 20 to 24 are missing"),
        ("20,40,0", "10,40,0", "line 3: of us-east-1a repeats ticks of line 2"),
        ("nodes_available", "colour", "line 1: must be the header"),
        (TRACE, "", "line 1: must be the header"),
    ],
)
def test_a_trace_of_capacity_that_cannot_be_is_refused_by_line(told: Told, stated: str, instead: str, why: str) -> None:
    arguments = ("cost", "replay", "--trace", "FILE", "--want", "1", "--tick-seconds", "195")
    code, said = told(TRACE.replace(stated, instead, 1), "t.csv", *arguments)
    assert code == 1
    assert why in said


def test_rows_of_no_billing_account_are_not_written(told: Told) -> None:
    code, said = told(POOL.format(price='usdPerNodeHour: "0.8"', gpus=1), "p.yaml", "cost", "export", "-f", "FILE")
    assert "--account" not in said
    code, said = told("", "empty.yaml", "cost", "export", "-f", "FILE", "--account", " ")
    assert (code, "--account: must not be empty" in said) == (1, True)
