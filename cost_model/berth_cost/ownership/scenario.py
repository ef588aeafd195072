"""What a cost scenario states. Unknown keys are errors; money is US dollars; percentages are 0 to 100.

The figures of an option are those of all its GPUs together (``demand.gpus``), except where a name says per node, per
GPU or per kW.
"""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from berth_cost.ownership.amount import (
    NotNegative,
    PartialPercent,
    Percent,
    Positive,
    Rate,
    Ratio,
    WholeMonths,
)
from berth_cost.record import Record

Name = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]([A-Za-z0-9 _+/()-]*[A-Za-z0-9)])?$")
]
"""Of an option or an item: letters, digits, blanks, - _ + / ( ); no dot, which separates the parts of an input."""
Items = dict[Name, NotNegative]

MOST_MONTHS = 600
MOST_OPTIONS = 32

Compounding = Literal["monthly", "yearly"]


def exactly_one(record: Record, *fields: str) -> None:
    """Raise where not exactly one of ``fields`` is stated."""
    stated = [name for name in fields if getattr(record, name) is not None]
    if len(stated) != 1:
        names = ", ".join(type(record).model_fields[name].alias or name for name in fields)
        found = " and ".join(type(record).model_fields[name].alias or name for name in stated)
        raise PydanticCustomError(
            "exactly_one",
            "{text}",
            {"text": f"state exactly one of {names}; {f'there is {found}' if found else 'there is none'}"},
        )


def wrong(text: str) -> PydanticCustomError:
    return PydanticCustomError("inconsistent", "{text}", {"text": text})


class Demand(Record):
    """How many GPUs, and how much of the time they are busy; or a rate, which the planner turns into GPUs."""

    gpus: Positive | None = None
    utilization_percent: Percent | None = None
    """Of the provisioned GPU-hours, those that are used."""
    requests_per_second: Positive | None = None
    workload: Annotated[str, Field(min_length=1)] | None = None
    """File with one InferenceWorkload and the GPUPools it may run on; relative to the scenario."""
    pools: Annotated[str, Field(min_length=1)] | None = None
    """File with the GPUPools, where ``workload`` does not hold them."""
    tokens_per_request: NotNegative | None = None
    """Read and written together; known from the workload where there is one."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        exactly_one(self, "gpus", "workload")
        if self.gpus is not None and self.utilization_percent is None:
            raise wrong("gpus needs utilizationPercent: the share of the GPU-hours that is used")
        if self.workload is not None and self.requests_per_second is None:
            raise wrong("workload needs requestsPerSecond: the rate that it is sized for")
        if self.pools is not None and self.workload is None:
            raise wrong("pools is where a workload may run: state workload, or remove it")
        if self.workload is not None and self.utilization_percent is not None:
            raise wrong("utilizationPercent follows from the workload: remove it")
        return self


# --- owned -------------------------------------------------------------------------------------------------------


class NodeCapex(Record):
    """What a node costs to buy, and how many GPUs it has. Nodes are bought whole."""

    usd: Positive
    gpus: Annotated[int, Field(strict=True, ge=1, le=1024)]


class Network(Record):
    """Switches, optics and cables, beside the nodes."""

    usd: NotNegative | None = None
    share_of_capex_percent: PartialPercent | None = None
    """Of nodes and network together."""
    by_cluster_size: Literal[True] | None = None
    """The share that clusters of this size had: :data:`berth_cost.ownership.bill.NETWORK_SHARES`."""

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        exactly_one(self, "usd", "share_of_capex_percent", "by_cluster_size")
        return self


class Draw(Record):
    """Measured electrical power. Mean draw = idle + (busy − idle) × utilisation, never a nameplate."""

    idle_kw: NotNegative
    busy_kw: Positive
    pue: Ratio = Decimal(1)
    """Power usage effectiveness: what the site draws, over what the machines draw."""
    g_co2e_per_kwh: NotNegative | None = None
    """Of the grid; absent: of ``country``, or of the cloud region of the price."""
    country: Annotated[str, Field(min_length=3, max_length=3)] | None = None
    """ISO 3166 code such as DEU: its grid's intensity is looked up."""

    @model_validator(mode="after")
    def _rises_with_load(self) -> Self:
        if self.busy_kw < self.idle_kw:
            raise wrong(f"busyKW {self.busy_kw} is below idleKW {self.idle_kw}")
        if self.g_co2e_per_kwh is not None and self.country is not None:
            raise wrong("state gCO2ePerKWh or country, not both")
        return self


STATED_POWER_TOLERANCE_PERCENT = 5


class Power(Draw):
    """Measured power, paid by the kWh."""

    usd_per_kwh: NotNegative
    stated_usd_per_year: NotNegative | None = None
    """What somebody says that the power costs at this utilisation: checked against the draw, and never used."""


class Colocation(Record):
    """Space, cooling and a power connection, rented by the kW."""

    usd_per_kw_month: NotNegative
    committed_kw: Positive
    charges_pue: bool = False
    """Whether the site bills energy times PUE; usual is that the rate covers cooling."""


class Staff(Record):
    """People who run the machines: a number, or one for so many nodes and never fewer than the minimum."""

    full_time_equivalents: NotNegative | None = None
    nodes_per_full_time_equivalent: Positive | None = None
    minimum_full_time_equivalents: NotNegative | None = None
    usd_per_year: NotNegative

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        exactly_one(self, "full_time_equivalents", "nodes_per_full_time_equivalent")
        return self


class Owned(Record):
    """Hardware of one's own, in one's own data centre or in a colocation."""

    capex_usd: Positive | None = None
    """All of it, network included."""
    per_node: NodeCapex | None = None
    network: Network | None = None
    life_months: WholeMonths
    residual_percent: Percent = Decimal(0)
    """Of the price, at the end of the life; before it the value falls in a straight line."""
    opex_usd_per_month: NotNegative | None = None
    """Stated; what is built up from the blocks below comes on top."""
    power: Power | None = None
    colocation: Colocation | None = None
    staff: Staff | None = None
    maintenance_percent_per_year: NotNegative | None = None
    """Of the capex."""
    monthly_usd: Items = {}
    one_time_usd: Items = {}
    """Spent at the start and not again when the hardware is replaced."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        exactly_one(self, "capex_usd", "per_node")
        if self.network is not None and self.per_node is None:
            raise wrong("network comes on top of perNode; capexUSD is all of it")
        if self.staff is not None and self.staff.nodes_per_full_time_equivalent is not None and self.per_node is None:
            raise wrong("staff.nodesPerFullTimeEquivalent needs perNode, which says how many nodes there are")
        return self


# --- rented ------------------------------------------------------------------------------------------------------


class ListPrice(Record):
    """A price of the price book."""

    cloud: Annotated[str, Field(min_length=1)]
    region: Annotated[str, Field(min_length=1)]
    instance_type: Annotated[str, Field(min_length=1)]
    capacity_type: Literal["OnDemand", "Spot", "Reserved"] = "OnDemand"
    term: Literal["OnDemand", "Spot", "OneYear", "ThreeYears"] | None = None
    zone: str | None = None


class Resource(Record):
    """One resource of a node: how much of it there is, and its price where it is sold by itself."""

    amount: Positive
    base_usd: NotNegative


class NodeRate(Record):
    """What a node costs an hour. Nodes are rented whole."""

    usd_per_hour: Positive
    gpus: Annotated[int, Field(strict=True, ge=1, le=1024)]
    resources: dict[Name, Resource] = {}
    """How the price is split in the breakdown, by the rule of OpenCost; empty: all of it is the GPUs'."""

    @model_validator(mode="after")
    def _can_be_split(self) -> Self:
        if self.resources and not any(each.base_usd for each in self.resources.values()):
            raise wrong("resources: at least one baseUSD must be above 0")
        return self


class Egress(Record):
    """Traffic out, by the gigabyte."""

    gigabytes_per_month: NotNegative
    usd_per_gigabyte: NotNegative


class Rental(Record):
    """What rented and reserved GPUs have in common."""

    usd_per_gpu_hour: Positive | None = None
    per_node: NodeRate | None = None
    price: ListPrice | None = None
    support_percent: NotNegative | None = None
    """Of GPU charges, egress and monthly items."""
    monthly_usd: Items = {}
    egress: Egress | None = None
    one_time_usd: Items = {}
    goodput_loss_usd_per_month: NotNegative | None = None
    """What failures and waiting waste."""
    energy: Draw | None = None
    """Reported as kWh and CO2e; the provider pays for it."""

    @model_validator(mode="after")
    def _has_one_price(self) -> Self:
        exactly_one(self, "usd_per_gpu_hour", "per_node", "price")
        return self


class Rented(Rental):
    """By the hour, without commitment."""

    billed: Literal["used", "provisioned"] = "provisioned"
    """``used``: by utilisation; ``provisioned``: all hours."""


class Reserved(Rental):
    """Committed for a term, used or not; renewed as long as the horizon lasts."""

    term_months: WholeMonths
    up_front_usd: NotNegative = Decimal(0)
    """At the start of each term."""


# --- the whole ---------------------------------------------------------------------------------------------------


class Option(Record):
    """One way of getting the GPUs."""

    name: Name
    owned: Owned | None = None
    rented: Rented | None = None
    reserved: Reserved | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        exactly_one(self, "owned", "rented", "reserved")
        return self

    @property
    def kind(self) -> Literal["owned", "rented", "reserved"]:
        return "owned" if self.owned is not None else "rented" if self.rented is not None else "reserved"

    @property
    def block(self) -> Owned | Rented | Reserved:
        stated = self.owned or self.rented or self.reserved
        assert stated is not None
        return stated


class StatedRange(Record):
    """How far an input may be off; from low to high."""

    low: NotNegative
    high: NotNegative
    source: str | None = None

    @model_validator(mode="after")
    def _has_width(self) -> Self:
        if self.low >= self.high:
            raise wrong(f"low {self.low} must be below high {self.high}")
        return self


class Scenario(Record):
    """One question: what do these ways of getting the same GPUs cost, against the one named ``baseline``."""

    currency: Literal["USD"] = "USD"
    horizon_months: Annotated[int, Field(strict=True, ge=1, le=MOST_MONTHS)]
    hours_per_month: Positive
    """720 and 730 are both common; twelve of it make the year that yearly amounts are spread over."""
    discount_rate_percent: Rate | None = None
    """Effective, a year. Absent: no present values."""
    compounding: Compounding = "monthly"
    carbon_usd_per_tonne: NotNegative | None = None
    """What a tonne of CO2 equivalent is reckoned at: an item of every option whose emissions are known."""
    demand: Demand
    baseline: Name
    options: Annotated[tuple[Option, ...], Field(min_length=1, max_length=MOST_OPTIONS)]
    ranges: dict[str, StatedRange] = {}
    """By input, such as ``owned.capexUSD``; what is not here has the range of its kind."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        names = [option.name for option in self.options]
        if len(names) == len(set(names)) and self.baseline in names:
            if self.hours_per_month > 744:
                raise wrong(f"hoursPerMonth {self.hours_per_month} is more than a month has (744)")
            return self
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise wrong(f"two options are named {', '.join(twice)}: give each a name of its own")
        raise wrong(f"baseline {self.baseline} names no option; there are {', '.join(names)}")
