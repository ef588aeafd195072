"""How far a price may have moved since it was true.

A price that is older than a limit stands in a band instead of alone; the band widens in steps of a quarter, so that
what is printed changes four times a year and not every day. Beyond a second limit a price says nothing any more.

Where the widths come from:

- List prices (on demand and committed): AWS cut its P4 and P5 instances by up to 44 % in June 2025, two years after the
  P5 list began, and left every other GPU price alone from January to July 2026. A factor of 1.07 a quarter, either way,
  covers that cut after eight quarters (1.07^8 = 1.72; 1/1.72 = 58 %).
- Spot: the spot price of one Azure node (NC24ads_A100_v4, eastus2) doubled between 2024 and mid-2026, which is 1.07 a
  quarter; 60 days moved 90 % of the spot quotes of marketplaces by factors between 0.42 and 1.77 (provider × GPU
  medians, February to July 2026). A factor of 1.15 a quarter lies between the two.
"""

from dataclasses import dataclass
from datetime import date

from berth_cost.prices.book import Price

DAYS_A_STEP = 90
LIST_FACTOR, SPOT_FACTOR = 1.07, 1.15
"""By which a price may be off, up or down, for each quarter of its age."""


@dataclass(frozen=True, slots=True)
class PriceAge:
    """``steps``: begun quarters of its age where the price is old, 0 where it is not. ``refused``: too old to use.

    ``to_come``: it is dated after tomorrow, whatever the time zone, so that it would never grow old.
    """

    old: bool
    refused: bool
    steps: int
    to_come: bool = False

    @classmethod
    def of(cls, price: Price, today: date, old_after_days: int, refused_after_days: int | None) -> "PriceAge":
        """A price that a pool itself states is not old, nor is one of the future."""
        days = 0 if price.stated else (today - price.date).days
        old = days > old_after_days
        refused = refused_after_days is not None and days > refused_after_days
        return cls(old, refused, -(-days // DAYS_A_STEP) if old else 0, to_come=days < -1)

    def factor(self, *, spot: bool) -> float:
        """The price is between 1/factor and factor times what it was; 1 where it is not old."""
        return float((SPOT_FACTOR if spot else LIST_FACTOR) ** self.steps)
