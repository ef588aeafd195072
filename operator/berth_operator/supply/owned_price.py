"""What a node of one's own costs an hour: its total cost of ownership, as the GPUPool states it."""

from datetime import date
from decimal import Decimal

from pydantic import ValidationError

from berth_cost.ownership.levelized import owned_usd_per_node_hour
from berth_cost.ownership.scenario import Owned
from berth_cost.prices.book import Price
from berth_operator.api.conditions import Reason
from berth_operator.api.ownership import OwnedPrice
from berth_scheduler.snapshot import Problem

OWNED = "owned: "
"""How the source of an owned price starts."""
_OF_THE_POOL = ("nodes", "utilization_percent", "discount_rate_percent")
"""What a pool states beside the ``owned`` block of a cost scenario."""


def owned_price(
    stated: OwnedPrice, gpus_per_node: int, maximum_nodes: int | None, day: date, *, hours_per_month: Decimal
) -> Price | Problem:
    """The total cost of ownership of a node-hour. It depends on the spec alone: no node that comes or goes moves it."""
    if stated.per_node is not None and stated.per_node.gpus != gpus_per_node:
        found = f"perNode.gpus is {stated.per_node.gpus}, but a node of the pool has {gpus_per_node}"
        return _no_price(f"spec.price.owned.{found}: correct one")
    nodes = stated.nodes or maximum_nodes or (1 if stated.per_node is not None else None)
    if nodes is None:
        return _no_price("spec.price.owned.capexUSD is of all nodes: state spec.price.owned.nodes, or maximumNodes")
    try:
        owned = Owned.model_validate(stated.model_dump(by_alias=False, exclude_none=True, exclude=set(_OF_THE_POOL)))
    except ValidationError as error:
        return _no_price(f"spec.price.owned: {error.errors(include_url=False)[0]['msg']}")
    usd = owned_usd_per_node_hour(
        owned,
        nodes=nodes,
        gpus_per_node=gpus_per_node,
        utilization_percent=stated.utilization_percent,
        discount_rate_percent=stated.discount_rate_percent,
        hours_per_month=hours_per_month,
    )
    if usd <= 0:
        return _no_price("spec.price.owned: nothing is left to pay: residualPercent 100 and no running cost")
    return Price(usd_per_node_hour=usd, source=_owned_source(stated, nodes), date=day, stated=True)


def _owned_source(stated: OwnedPrice, nodes: int) -> str:
    """``owned: 8 nodes over 48 months, 20 % left, capital at 8 %``"""
    parts = [f"{nodes} node{'' if nodes == 1 else 's'} over {stated.life_months} months"]
    parts += [f"{stated.residual_percent} % left"] if stated.residual_percent else []
    parts += [f"{stated.utilization_percent} % busy"] if stated.power is not None else []
    parts += [f"capital at {stated.discount_rate_percent} %"] if stated.discount_rate_percent else []
    return OWNED + ", ".join(parts)


def _no_price(message: str) -> Problem:
    return Problem(reason=Reason.NO_PRICE, message=message)
