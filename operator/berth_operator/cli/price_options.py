"""The options of ``berth prices``, and what they name: a book, and the part of it to look at."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from berth_cost.document import DocumentError
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.prices.book import PriceBook
from berth_cost.prices.offers import AgeLimits, OfferFilter
from berth_cost.prices.rows import TERMS
from berth_cost.spelling import nearest
from berth_operator.catalogues import Catalogues
from berth_operator.cli.outcome import InputError
from berth_operator.cli.sources import load_settings, now
from berth_operator.settings import Settings

BUILT_IN = "built-in"

Clouds = Annotated[list[str] | None, typer.Option("--cloud", metavar="NAME", help="Of this provider; repeatable.")]
Regions = Annotated[list[str] | None, typer.Option("--region", metavar="NAME", help="In this region; repeatable.")]
GPUs = Annotated[list[str] | None, typer.Option("--gpu", metavar="NAME", help="With this GPU, H100 or L4; repeatable.")]
Types = Annotated[list[str] | None, typer.Option("--type", metavar="NAME", help="Of this instance type; repeatable.")]
Buy = Annotated[
    list[str] | None,
    typer.Option("--buy", metavar="HOW", help="OnDemand, Spot, OneYear or ThreeYears; repeatable."),
]
PriceFiles = Annotated[
    list[Path] | None,
    typer.Option("--prices", metavar="FILE", help="Lay a price document over the book; repeatable."),
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=0, help="Rows to show; 0: all of them.")]


def load_catalogues(settings: Path | None, files: Sequence[Path] | None) -> tuple[Settings, Catalogues]:
    """The catalogues of the settings with ``files`` on top. Raises :class:`InputError` with every flaw."""
    stated, catalogues = load_settings(settings)
    return stated, with_prices(catalogues, files or ())


def with_prices(catalogues: Catalogues, files: Iterable[Path]) -> Catalogues:
    try:
        return catalogues.with_files(prices=files)
    except DocumentError as error:
        raise InputError(*map(str, error.flaws)) from error
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error


def book_named(name: str, catalogues: Catalogues, *, alone: bool) -> PriceBook:
    """``built-in``, or a file on top of it; ``alone``: the file without what lies below."""
    if name == BUILT_IN:
        return catalogues.prices
    if not alone:
        return with_prices(catalogues, [Path(name)]).prices
    bare = replace(catalogues, prices=PriceBook({}, catalogues.prices.instances))
    return with_prices(bare, [Path(name)]).prices


def age_limits(settings: Settings, at: datetime | None) -> AgeLimits:
    policy = settings.policy
    return AgeLimits((at or now()).date(), policy.price_old_after_days, policy.price_refused_after_days)


def chosen_offers(
    catalogues: Catalogues,
    *,
    clouds: list[str] | None,
    regions: list[str] | None,
    gpus: list[str] | None,
    types: list[str] | None,
    buy: list[str] | None,
) -> OfferFilter:
    """What the options name. Raises :class:`InputError` for what is not in the book: a typo is no empty answer."""
    keys = [*catalogues.prices.prices, *catalogues.prices.flagged]
    return OfferFilter(
        clouds=_known("--cloud", clouds, {key.cloud for key in keys}),
        regions=_known("--region", regions, {key.region for key in keys}),
        gpus=_gpus(gpus, catalogues),
        instance_types=_known("--type", types, {key.instance_type for key in keys}),
        bought=_known("--buy", buy, {term.casefold() for term in TERMS}, known=tuple(TERMS)),
    )


def _known(
    option: str, stated: list[str] | None, there: set[str], known: tuple[str, ...] | None = None
) -> frozenset[str] | None:
    if not stated:
        return None
    wanted = frozenset(value.casefold() for value in stated)
    for value in sorted(wanted - there):
        near = known or nearest(value, tuple(sorted(there)), most=5) or tuple(sorted(there)[:12])
        raise InputError(
            f"{option}: the price book has no {value}; {'known' if known else 'nearest'}: {', '.join(near)}"
        )
    return wanted


def _gpus(stated: list[str] | None, catalogues: Catalogues) -> frozenset[str] | None:
    """Names as the catalogue or anybody else spells them; ``H100`` is every H100."""
    if not stated:
        return None
    sold = {shape.gpu.casefold(): shape.gpu for shape in catalogues.prices.instances.values()}
    wanted: set[str] = set()
    for spelling in stated:
        if spelling.casefold() in sold:
            wanted.add(spelling.casefold())
            continue
        found = catalogues.gpus.resolve(spelling)
        if isinstance(found, GPUSpecification):
            wanted.add(found.name.casefold())
        elif found.reason == "Ambiguous":
            wanted |= {name.casefold() for name in found.candidates}
        else:
            raise InputError(f"--gpu: {found.message}")
    return frozenset(wanted)
