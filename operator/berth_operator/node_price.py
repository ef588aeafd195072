"""What the nodes of a pool cost by the price book, where only their labels say what they are."""

from collections.abc import Sequence

from berth_cost.price_book import Price, PriceBook, PriceMissing
from berth_operator.api.conditions import Reason
from berth_operator.gpu_nodes import GPUNode, some
from berth_scheduler.snapshot import CapacityType, Problem


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
