"""Prices of GPU nodes, each with its source and date. Money is Decimal; a price that is not known is absent, never zero."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from berth_cost.record import Record


class Price(Record):
    """Of one node for one hour."""

    usd_per_node_hour: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
    source: str
    date: date
