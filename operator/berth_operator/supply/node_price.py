"""What the nodes of a pool cost by the price book: by what their labels say they are, and unless it is too old."""

from collections.abc import Sequence
from datetime import date

from berth_cost.prices.age import PriceAge
from berth_cost.prices.book import Price, PriceBook, PriceMissing
from berth_cost.prices.traps import unlike_others
from berth_operator.api.conditions import Reason
from berth_operator.supply.gpu_nodes import GPUNode, some
from berth_scheduler.snapshot import CapacityType, Policy, Problem


def price_by_labels(nodes: Sequence[GPUNode], capacity_type: CapacityType, book: PriceBook) -> Price | Problem:
    """The one price of all ``nodes``, or why there is none; never a mean of several."""
    if not nodes:
        return _no_price("no price is stated and there is no node whose labels could tell it: set spec.price")
    silent = [node for node in nodes if node.purchase.instance_type is None]
    if silent:
        return _no_price(f"{some(silent)} without label node.kubernetes.io/instance-type: set spec.price of a GPUPool")
    prices: dict[Price, GPUNode] = {}
    for node in nodes:
        price = _look_up(node, capacity_type, book)
        if isinstance(price, PriceMissing):
            return _no_price(f"{price.message}: set spec.price of a GPUPool, or add it to the price book")
        prices.setdefault(price, node)
    if len(prices) > 1:
        listed = "; ".join(f"{node.node.name} ${price.usd_per_node_hour}/h" for price, node in prices.items())
        return _no_price(f"its nodes cost differently ({listed}): split the pool, or set spec.price")
    return next(iter(prices))


def unless_too_old(price: Price | Problem, today: date, policy: Policy) -> Price | Problem:
    """``price``, or that it is older than the policy allows; in words that do not change from day to day."""
    if isinstance(price, Problem):
        return price
    limit = policy.price_refused_after_days
    if not PriceAge.of(price, today, policy.price_old_after_days, limit).refused:
        return price
    usd = f"${price.usd_per_node_hour}"
    return _no_price(
        f"the newest price known, {usd}, is of {price.date}, older than {limit} days (policy.priceRefusedAfterDays): "
        "add a newer one to the price book, or set spec.price.usdPerNodeHour"
    )


def old_price(price: Price | None, capacity_type: CapacityType, today: date, policy: Policy) -> Problem | None:
    """That the price is old, and what it may be by now; None where it is not.

    It says the same for a quarter.
    """
    if price is None:
        return None
    age = PriceAge.of(price, today, policy.price_old_after_days, policy.price_refused_after_days)
    if not age.old:
        return None
    usd, factor = float(price.usd_per_node_hour), age.factor(spot=capacity_type is CapacityType.SPOT)
    band = f"${usd / factor:,.4g} to ${usd * factor:,.4g}"
    message = (
        f"its price is of {price.date}, older than {policy.price_old_after_days} days: it may be {band} per node hour"
    )
    return Problem(reason=Reason.NO_PRICE, message=message)


def doubtful_price(price: Price | None, gpu: str | None, gpus: int, book: PriceBook, today: date) -> Problem | None:
    """That a price looks wrong, though it is used: it is dated in the future, or what is stated is unlike that of any
    node with as many such GPUs."""
    if price is None:
        return None
    if PriceAge.of(price, today, 0, None).to_come:
        message = f"its price is dated {price.date}, in the future: correct the date, or it never grows old"
        return Problem(reason=Reason.PRICE_DOUBTFUL, message=message)
    unlike = unlike_others(price.usd_per_node_hour, gpu, gpus, book.reference) if price.stated and gpu else None
    return None if unlike is None else Problem(reason=Reason.PRICE_DOUBTFUL, message=f"spec.price: {unlike}")


def _look_up(node: GPUNode, capacity_type: CapacityType, book: PriceBook) -> Price | PriceMissing:
    return book.lookup(
        cloud=node.purchase.cloud,
        region=node.purchase.region,
        instance_type=node.purchase.instance_type or "",
        capacity_type=capacity_type.value,
        zone=node.node.zone,
    )


def _no_price(message: str) -> Problem:
    return Problem(reason=Reason.NO_PRICE, message=message)
