"""Footprint: what a placed workload draws, and what that emits, by request and by token.

Energy is that of the GPUs as the performance model predicts it at the planned rate, idle draw included, times the PUE
of the site; CPUs, memory and fans of the node are not in it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from math import fsum, isnan

from berth_cost.cases.case import Prediction
from berth_cost.rounding import significant_number
from berth_cost.spending.carbon import Site
from berth_scheduler.decision import Decision, EnergyTotal, Footprint
from berth_scheduler.snapshot import Berth, Policy, Workload
from berth_scheduler.supply import Supply

JOULES_PER_KWH = 3.6e6


def footprint_of(
    workload: Workload,
    berths: Sequence[Berth],
    prediction: Prediction | None,
    supply: Supply,
    *,
    policy: Policy,
    requests_per_second: float,
) -> Footprint | None:
    """At so many requests a second of all replicas together. None where the prediction has no energy: the power limit
    of the GPU is not known, or there is no prediction."""
    joules = prediction.metrics.get("joulesPerRequest") if prediction else None
    if not isinstance(joules, float):
        return None
    sites = {pool.name: pool.site for pool in supply.pools}
    shares = _shares(berths)
    homeless = [name for name in shares if sites[name] is None]
    tokens = _tokens(workload)
    requests = requests_per_second * 3600 * float(policy.hours_per_month)
    if homeless:
        unknown = f"PUE and grid of pool {', '.join(homeless)} are not known: joules are those of the GPUs alone"
        return Footprint(
            joules_per_request=significant_number(joules),
            joules_per_million_tokens=significant_number(joules / tokens * 1e6) if tokens else None,
            kwh_per_month=significant_number(joules / JOULES_PER_KWH * requests),
            unknown=unknown,
        )
    at_meter = joules * _mean({name: site.pue for name, site in sites.items() if site and name in shares}, shares)
    grams = _grams(joules, shares, sites)
    return Footprint(
        joules_per_request=significant_number(at_meter),
        joules_per_million_tokens=significant_number(at_meter / tokens * 1e6) if tokens else None,
        grams_co2e_per_thousand_requests=None if grams is None else significant_number(grams * 1e3),
        grams_co2e_per_million_tokens=significant_number(grams / tokens * 1e6)
        if grams is not None and tokens
        else None,
        kwh_per_month=significant_number(at_meter / JOULES_PER_KWH * requests),
        kg_co2e_per_month=None if grams is None else significant_number(grams / 1e3 * requests),
        carbon_usd_per_hour=_priced(grams, workload, policy.carbon_usd_per_tonne),
        sites=tuple(_told(shares, sites, _site_text)),
        sources=tuple(_told(shares, sites, _source_text)),
        unknown=next((site.unknown for name in shares if (site := sites[name]) and site.unknown), None),
    )


def _priced(grams: float | None, workload: Workload, usd_per_tonne: Decimal | None) -> Decimal | None:
    """``grams`` of a request, an hour of them, at a price."""
    if grams is None or usd_per_tonne is None:
        return None
    usd = grams * workload.traffic.requests_per_second * 3600 / 1e6 * float(usd_per_tonne)
    return Decimal(repr(significant_number(usd)))


def energy_of(decisions: Iterable[Decision]) -> EnergyTotal | None:
    """Of all that is placed; None where nothing is."""
    placed = [one for one in decisions if one.placed]
    known = [(one.workload, one.footprint) for one in placed if one.footprint is not None]
    emitted = [found.kg_co2e_per_month for _, found in known if found.kg_co2e_per_month is not None]
    if not placed:
        return None
    return EnergyTotal(
        kwh_per_month=significant_number(fsum(found.kwh_per_month for _, found in known)),
        kg_co2e_per_month=significant_number(fsum(emitted)) if emitted else None,
        energy_unknown=tuple(one.workload for one in placed if one.footprint is None),
        grid_unknown=tuple(key for key, found in known if found.kg_co2e_per_month is None),
    )


def grams_per_joule(site: Site | None) -> float:
    """CO2 equivalent of a joule that a GPU draws there, PUE included; nan where the grid is not known."""
    if site is None or site.grams_per_kwh is None:
        return float("nan")
    return site.pue * site.grams_per_kwh / JOULES_PER_KWH


def _shares(berths: Sequence[Berth]) -> dict[str, float]:
    """Of the requests, by pool: replicas of one workload take equal parts."""
    replicas = sum(berth.replicas for berth in berths)
    shares: dict[str, float] = {}
    for berth in sorted(berths, key=lambda berth: berth.pool):
        shares[berth.pool] = shares.get(berth.pool, 0.0) + berth.replicas / replicas
    return shares


def _mean(values: Mapping[str, float], shares: Mapping[str, float]) -> float:
    return sum(values[name] * share for name, share in shares.items())


def _grams(joules: float, shares: Mapping[str, float], sites: Mapping[str, Site | None]) -> float | None:
    """Of a request; None where one of the grids is not known."""
    grams = joules * sum(share * grams_per_joule(sites[name]) for name, share in shares.items())
    return None if isnan(grams) else grams


def _told(shares: Mapping[str, float], sites: Mapping[str, Site | None], text: Callable[[Site], str]) -> Iterator[str]:
    """Of each distinct site, in the order of the pools."""
    yield from dict.fromkeys(text(site) for name in shares if (site := sites[name]) is not None)


def _site_text(site: Site) -> str:
    grid = "" if site.grams_per_kwh is None else f", {site.grams_per_kwh:g} gCO2e/kWh"
    return f"{site.place}: PUE {site.pue:g}{grid}"


def _source_text(site: Site) -> str:
    return f"{site.place}: PUE: {site.pue_source}{f'; grid: {site.source}' if site.source else ''}"


def _tokens(workload: Workload) -> float | None:
    """Of a request, read and written together."""
    parts = [part.mean for part in (workload.traffic.input_tokens, workload.traffic.output_tokens) if part]
    return sum(parts) or None
