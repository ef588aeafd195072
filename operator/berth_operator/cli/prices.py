"""``berth prices``: what the book has, what is cheapest by what is used, where a price came from, what changed."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Annotated, get_args

import typer

from berth_cost.hardware.gpu_catalogue import RATES
from berth_cost.prices.book import Price, PriceBook, PriceMissing
from berth_cost.prices.diff import price_diff
from berth_cost.prices.offers import (
    AgeLimits,
    Measure,
    Offer,
    OfferFilter,
    Unit,
    cheapest,
    flagged_of,
    gpu_units,
    memory_units,
    offer_of,
    offers_of,
    rounded_usd,
    tflop_units,
    too_old,
    usable,
)
from berth_cost.prices.rows import TERMS, PriceKey
from berth_operator.artefacts import Volumes
from berth_operator.catalogues import Catalogues
from berth_operator.cli import options, price_options, price_views
from berth_operator.cli.outcome import InputError, Outcome
from berth_operator.cli.output import Format, Output, progress
from berth_operator.cli.price_records import PriceComparison, PriceExplanation, PriceList, PriceRange
from berth_operator.cli.price_refresh import refresh, source_named
from berth_operator.cli.price_sizing import units_of_requests
from berth_operator.cli.sources import manifests_in, now
from berth_operator.demand import workload_of
from berth_scheduler.snapshot import Policy, Workload

prices_app = typer.Typer(
    name="prices",
    help="What GPU nodes cost: list, compare, explain, diff, refresh.",
    no_args_is_help=True,
    add_completion=False,
)
TABLE_ROWS = 40
"""Shown on a page unless more are asked for."""


@prices_app.command("list")
def list_prices(
    *,
    cloud: price_options.Clouds = None,
    region: price_options.Regions = None,
    gpu: price_options.GPUs = None,
    instance_type: price_options.Types = None,
    buy: price_options.Buy = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only what looks wrong and is not used.")] = False,
    old: Annotated[bool, typer.Option("--old", help="Only prices that are old.")] = False,
    limit: price_options.Limit = None,
    prices: price_options.PriceFiles = None,
    at: options.At = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
    settings: options.SettingsFile = None,
) -> int:
    """The prices of the book, by GPU and price per GPU."""
    stated, catalogues = price_options.load_catalogues(settings, prices)
    chosen = price_options.chosen_offers(
        catalogues, clouds=cloud, regions=region, gpus=gpu, types=instance_type, buy=buy
    )
    limits = price_options.age_limits(stated, at)
    offers = () if flagged else tuple(offers_of(catalogues.prices, chosen, limits))
    found = PriceList(
        offers=tuple(offer for offer in offers if offer.old) if old else offers,
        flagged=tuple(flagged_of(catalogues.prices, chosen, limits)),
    )
    limited = found if limit in (None, 0) else found.model_copy(update={"offers": found.offers[:limit]})
    rows = TABLE_ROWS if limit is None else limit
    Output(output, to).write_record(
        limited,
        lambda page: price_views.show_list(page, found, rows, flagged_only=flagged),
        lambda: price_views.list_markdown(limited),
    )
    return Outcome.DONE


@prices_app.command("compare")
def compare_prices(
    name: Annotated[
        str | None, typer.Argument(metavar="[WORKLOAD]", help="With --per requests: which workload of the files.")
    ] = None,
    *,
    per: Annotated[
        str, typer.Option("--per", metavar="WHAT", help="gpu, memory (GB), tflops (dense) or requests (good ones).")
    ] = "gpu",
    precision: Annotated[
        str, typer.Option("--precision", metavar="NAME", help="With --per tflops.", show_default=True)
    ] = "fp16",
    files: options.Files = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="With --per requests: count the share of a node, not whole nodes.")
    ] = False,
    cloud: price_options.Clouds = None,
    region: price_options.Regions = None,
    gpu: price_options.GPUs = None,
    instance_type: price_options.Types = None,
    buy: price_options.Buy = None,
    limit: price_options.Limit = None,
    prices: price_options.PriceFiles = None,
    at: options.At = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
    settings: options.SettingsFile = None,
) -> int:
    """What is cheapest per GPU, per GB of its memory, per dense TFLOP/s, or per good request of a workload.

    Exits with 2 where nothing can be compared.
    """
    stated, catalogues = price_options.load_catalogues(settings, prices)
    chosen = price_options.chosen_offers(
        catalogues, clouds=cloud, regions=region, gpus=gpu, types=instance_type, buy=buy
    )
    limits = price_options.age_limits(stated, at)
    measure = _measure(per)
    if measure != "requests" and (files or name or shared):
        raise InputError("-f, WORKLOAD and --shared are for --per requests")
    workload = _workload(files or [], name, catalogues) if measure == "requests" else None
    units = _units(measure, precision, workload, catalogues, stated.policy, shared=shared)
    found = _compared(catalogues.prices, chosen, limits, units).model_copy(
        update={
            "per": measure,
            "unit": _unit_name(measure, precision),
            "precision": precision if measure == "tflops" else None,
            "workload": workload.key if workload else None,
        }
    )
    limited = found if limit in (None, 0) else found.model_copy(update={"ranked": found.ranked[:limit]})
    rows = TABLE_ROWS if limit is None else limit
    Output(output, to).write_record(
        limited,
        lambda page: price_views.show_comparison(page, found, rows),
        lambda: price_views.comparison_markdown(limited),
    )
    return Outcome.DONE if found.ranked else Outcome.DOES_NOT_HOLD


@prices_app.command("explain")
def explain_price(
    cloud: Annotated[str, typer.Argument(metavar="CLOUD")],
    region: Annotated[str, typer.Argument(metavar="REGION")],
    instance_type: Annotated[str, typer.Argument(metavar="INSTANCE_TYPE")],
    *,
    buy: Annotated[
        str, typer.Option("--buy", metavar="HOW", help="OnDemand, Spot, OneYear or ThreeYears.")
    ] = "OnDemand",
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="NAME", help="Of this zone, where it has its own.")
    ] = None,
    prices: price_options.PriceFiles = None,
    at: options.At = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
    settings: options.SettingsFile = None,
) -> int:
    """Where a price came from, how old it is, what it replaced, how it compares. Exits with 2 where there is none."""
    stated, catalogues = price_options.load_catalogues(settings, prices)
    if buy not in TERMS:
        raise InputError(f"--buy: {buy} is none of {', '.join(TERMS)}")
    key = _key(cloud, region, zone, instance_type, buy)
    found = _explained(catalogues.prices, key, price_options.age_limits(stated, at))
    Output(output, to).write_record(
        found,
        lambda page: price_views.show_explanation(page, found),
        lambda: price_views.explanation_markdown(found),
    )
    return Outcome.DONE if found.offer is not None and not found.refused else Outcome.DOES_NOT_HOLD


@prices_app.command("diff")
def diff_prices(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A price document, or built-in.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="A price document, or built-in.")],
    *,
    alone: Annotated[
        bool, typer.Option("--alone", help="Compare the documents by themselves, not laid over the built-in book.")
    ] = False,
    limit: price_options.Limit = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
) -> int:
    """What changed between two books: prices that moved, came and went, and whether medians moved like for like."""
    catalogues = Catalogues.built_in()
    one = price_options.book_named(before, catalogues, alone=alone)
    other = price_options.book_named(after, catalogues, alone=alone)
    found = price_diff(one, other, (before, after))
    rows = TABLE_ROWS if limit is None else limit
    Output(output, to).write_record(
        found,
        lambda page: price_views.show_diff(page, found, rows),
        lambda: price_views.diff_markdown(found),
    )
    return Outcome.DONE


@prices_app.command("refresh")
def refresh_prices(
    *,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="aws-spot-advisor, azure-retail or gpuhunt.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The price document: .yaml, or .csv.")],
    prices: price_options.PriceFiles = None,
    at: options.At = None,
    output: options.As = Format.TABLE,
    settings: options.SettingsFile = None,
) -> int:
    """Read a live public source into a price document, and say what changed. Nothing is deployed."""
    _, catalogues = price_options.load_catalogues(settings, prices)
    found = refresh(source_named(source), to, catalogues, (at or now()).date())
    Output(output).write_record(
        found,
        lambda page: price_views.show_refreshed(page, found),
        lambda: price_views.refreshed_markdown(found),
    )
    return Outcome.DONE


# --- compare -------------------------------------------------------------------------------------------------------


def _measure(stated: str) -> Measure:
    for measure in get_args(Measure):
        if measure == stated:
            return measure  # type: ignore[no-any-return]
    raise InputError(f"--per: {stated} is none of {', '.join(get_args(Measure))}")


def _unit_name(measure: Measure, precision: str) -> str:
    return {
        "gpu": "GPU-hour",
        "memory": "GB-hour of GPU memory",
        "tflops": f"{precision} TFLOP/s-hour",
        "requests": "million good requests",
    }[measure]


def _units(
    measure: Measure,
    precision: str,
    workload: Workload | None,
    catalogues: Catalogues,
    policy: Policy,
    *,
    shared: bool,
) -> Callable[[Offer], Unit]:
    specifications = catalogues.gpus.specifications
    if measure == "memory":
        return lambda offer: memory_units(offer, specifications)
    if measure == "tflops":
        if precision not in RATES:
            raise InputError(f"--precision: {precision} is none of {', '.join(RATES)}")
        return lambda offer: tflop_units(offer, specifications, precision)
    if workload is not None:
        return units_of_requests(workload, catalogues, policy, shared=shared)
    return gpu_units


def _compared(
    book: PriceBook, chosen: OfferFilter, limits: AgeLimits, units: Callable[[Offer], Unit]
) -> PriceComparison:
    fresh, refused = usable(offers_of(book, chosen, limits), limits)
    with progress(f"comparing {len(fresh)} prices"):
        ranked, left_out = cheapest(fresh, units)
    return PriceComparison(per="gpu", unit="", ranked=tuple(ranked), left_out=(*refused, *left_out))


def _workload(files: list[Path], name: str | None, catalogues: Catalogues) -> Workload:
    """The one workload that is asked about. Raises :class:`InputError`."""
    if not files:
        raise InputError("--per requests: which workload? Give its file with -f")
    world = manifests_in(files).world
    found = [one for thing in world.workloads if (one := workload_of(thing, catalogues, Volumes.of(world))) is not None]
    named = [one for one in found if name is None or name in (one.key, one.key.partition("/")[2])]
    if len(named) != 1:
        there = ", ".join(one.key for one in found) or "none"
        raise InputError(f"there {'is' if len(found) == 1 else 'are'} {there}: name one of them")
    workload = named[0]
    if workload.problem is not None:
        raise InputError(f"{workload.key}: {workload.problem.message}")
    return workload


# --- explain -------------------------------------------------------------------------------------------------------


def _key(cloud: str, region: str, zone: str | None, instance_type: str, buy: str) -> PriceKey:
    market, term = TERMS[buy]
    where = (cloud.casefold(), region.casefold(), zone.casefold() if zone else None, instance_type.casefold())
    return PriceKey(*where, market, term)


def _explained(book: PriceBook, key: PriceKey, limits: AgeLimits) -> PriceExplanation:
    found = book.lookup(
        cloud=key.cloud, region=key.region, zone=key.zone, instance_type=key.instance_type, term=key.bought
    )
    if isinstance(found, PriceMissing):
        flagged = next((one for one in flagged_of(book, OfferFilter(), limits) if _same(one.offer, key)), None)
        return PriceExplanation(message=found.message, flagged=flagged)
    row = next(one for one in (key, _of_region(key)) if book.prices.get(one) == found)
    offer = offer_of(book, row, found, limits)
    origin = book.origins.get(row)
    replaced = origin.replaces if origin else None
    return PriceExplanation(
        message=f"{offer.cloud} {offer.zone or offer.region} {offer.instance_type} {offer.bought}: "
        f"{price_views.usd(offer.usd_per_hour)} an hour",
        offer=offer,
        replaces=_without_origin(book, row, replaced, limits) if replaced else None,
        refused=too_old(offer, limits),
        others=tuple(_other_ways(book, row, limits)),
        market=_market(book, offer, limits),
    )


def _of_region(key: PriceKey) -> PriceKey:
    return PriceKey(key.cloud, key.region, None, key.instance_type, key.capacity_type, key.term)


def _same(offer: Offer, key: PriceKey) -> bool:
    place = (offer.cloud.casefold(), offer.region, offer.zone, offer.instance_type.casefold(), offer.bought)
    return place in (
        (key.cloud, key.region, key.zone, key.instance_type, key.bought),
        (key.cloud, key.region, None, key.instance_type, key.bought),
    )


def _without_origin(book: PriceBook, key: PriceKey, price: Price, limits: AgeLimits) -> Offer:
    return offer_of(PriceBook(book.prices, book.instances), key, price, limits)


def _other_ways(book: PriceBook, key: PriceKey, limits: AgeLimits) -> list[Offer]:
    ways = (PriceKey(key.cloud, key.region, key.zone, key.instance_type, *TERMS[term]) for term in TERMS)
    return [offer_of(book, way, book.prices[way], limits) for way in ways if way != key and way in book.prices]


def _market(book: PriceBook, offer: Offer, limits: AgeLimits) -> PriceRange | None:
    """What one such GPU costs on demand, everywhere."""
    if offer.gpu is None:
        return None
    same = OfferFilter(gpus=frozenset({offer.gpu.casefold()}), bought=frozenset({"ondemand"}))
    fresh, _ = usable(offers_of(book, same, limits), limits)
    each = [Fraction(one.usd_per_gpu_hour) for one in fresh if one.usd_per_gpu_hour is not None]
    if not each:
        return None
    return PriceRange(
        gpu=offer.gpu,
        offers=len(each),
        usd_per_gpu_hour_low=rounded_usd(min(each)),
        usd_per_gpu_hour_median=rounded_usd(median(each)),
        usd_per_gpu_hour_high=rounded_usd(max(each)),
    )
