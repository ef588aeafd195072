"""Bands and errors of language models, from residuals of cases that the constants had not seen.

Split conformal prediction with slices (Mondrian): the edges of a slice are the quantiles of its held-out residuals. A
slice is (engine, kind of load, dense or experts); one with too few residuals has the edges of its parent.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from constants_fit import edges
from language_levels import OUTSIDE_THE_SERVER
from language_splits import Residuals
from numpy.typing import NDArray

from berth_cost.performance.fitted_constants import GENERAL

Document = dict[str, Any]

METRICS = (
    "timePerOutputTokenSeconds",
    "endToEndSeconds",
    "timeToFirstTokenSeconds",
    "outputTokensPerSecond",
    "powerWattsPerGPU",
    "joulesPerOutputToken",
)
CENTRAL, TAILS = ("mean", "p50"), ("p95", "p99")
FEWEST = 25
"""Residuals that edges of a slice need."""
STRANGER = 1.05
"""By how much, as a factor, the edges of an engine that nobody has seen lie beyond those of any that we have."""
MOST_OF_A_SOURCE = 120
"""Residuals of a source that count in a pooled slice: resampled at evenly spaced quantiles."""


def bands_of(own: Residuals, strangers: Residuals) -> dict[str, dict[str, Document]]:
    """Edges by metric (and tail), then slice. ``own``: models unseen; ``strangers``: engines unseen (``general``)."""
    own, strangers = banded(own), banded(strangers)
    found: dict[str, dict[str, Document]] = {}
    for metric in METRICS:
        for key, labels in (
            (metric, (metric, *(f"{metric}.{name}" for name in CENTRAL))),
            *((f"{metric}.{tail}", (f"{metric}.{tail}",)) for tail in TAILS),
        ):
            general = strangers.where(np.isin(strangers.metric, labels))
            if len(general.ratio) < FEWEST:
                continue
            chosen = own.where(np.isin(own.metric, labels))
            entry = {GENERAL: wider(pooled(general), pooled(chosen))}
            for name, slice_ in slices(chosen):
                if len(slice_.ratio) >= FEWEST:
                    entry[name] = pooled(slice_)
                    # Of an engine that nobody has seen we are never surer than of the worst that we have.
                    entry[GENERAL] = wider(entry[GENERAL], entry[name])
            entry[GENERAL] = wider(
                entry[GENERAL],
                {
                    "low": round(entry[GENERAL]["low"] / STRANGER, 3),
                    "high": round(entry[GENERAL]["high"] * STRANGER, 3),
                },
            )
            found[key] = entry if key == metric else at_least(entry, found[metric])
    return found


def banded(residuals: Residuals) -> Residuals:
    outside = [
        (source, metric.split(".")[0]) in OUTSIDE_THE_SERVER
        for source, metric in zip(residuals.source, residuals.metric, strict=True)
    ]
    # An open load states its throughput, it is not measured.
    offered = (residuals.load == "open") & (residuals.metric == "outputTokensPerSecond")
    # In a static batch percentiles are of single tokens, elsewhere of requests.
    tail = np.array([metric.endswith(TAILS) for metric in residuals.metric], dtype=np.bool_) & (
        residuals.load == "batch"
    )
    return residuals.where(~np.array(outside, dtype=np.bool_) & ~offered & ~tail)


def slices(residuals: Residuals) -> list[tuple[str, Residuals]]:
    """Engine; engine and load; engine, load and kind of model."""
    found = []
    for levels in (("engine",), ("engine", "load"), ("engine", "load", "experts")):
        names = np.array(
            ["/".join(labels) for labels in zip(*(getattr(residuals, level) for level in levels), strict=True)]
        )
        found += [(str(name), residuals.where(names == name)) for name in sorted(set(names.tolist()))]
    return found


def slice_names(engine: str, load: str, experts: str) -> tuple[str, str, str]:
    """The narrowest first."""
    return f"{engine}/{load}/{experts}", f"{engine}/{load}", engine


def pooled(residuals: Residuals) -> Document:
    parts = []
    for source in sorted(set(residuals.source.tolist())):
        ratio = residuals.ratio[residuals.source == source]
        count = min(len(ratio), MOST_OF_A_SOURCE)
        parts.append(np.quantile(ratio, (np.arange(count) + 0.5) / count))
    return edges(np.concatenate(parts))


def wider(first: Document, second: Document) -> Document:
    return {**first, "low": min(first["low"], second["low"]), "high": max(first["high"], second["high"])}


def at_least(tail: dict[str, Document], central: dict[str, Document]) -> dict[str, Document]:
    """A high percentile is never surer than the mean, in any slice of either."""
    return {
        name: wider(tail.get(name, tail[GENERAL]), central.get(name, central[GENERAL]))
        for name in sorted({*tail, *central})
    }


def errors_of(
    residuals: Mapping[str, Residuals],
    bands: Mapping[str, Mapping[str, Document]],
    unseen: Mapping[str, Document],
) -> list[Document]:
    """Absolute percentage error by what was left out, source and metric, and how many of them the bands hold."""
    rows = []
    for split, found in residuals.items():
        widening = unseen[split]["widening"] if split in unseen else {}
        # Of an engine that was left out the general edges are those that a stranger gets.
        asked = replace(found, engine=np.full_like(found.engine, GENERAL)) if split == "engine" else found
        inside = held(asked, bands, widening)
        timed = np.isin(found.metric, [f"timePerOutputTokenSeconds.{name}" for name in CENTRAL])
        for kind in ("dense", "moe"):
            chosen = timed & (found.experts == kind)
            rows.append(
                error_of(split, f"all {kind}", "timePerOutputTokenSeconds", found.ratio[chosen], inside[chosen])
            )
        for source in sorted(set(found.source.tolist())):
            for metric in sorted(set(found.metric[found.source == source].tolist())):
                chosen = (found.source == source) & (found.metric == metric)
                rows.append(error_of(split, source, metric, found.ratio[chosen], inside[chosen]))
    return rows


def error_of(split: str, source: str, metric: str, ratio: NDArray[np.float64], inside: NDArray[np.float64]) -> Document:
    percent = 100 * np.abs(np.expm1(-ratio))
    return {
        "left_out": split,
        "source": source,
        "metric": metric,
        "cases": len(percent),
        "median_percent": round(float(np.median(percent)), 1),
        "mean_percent": round(float(percent.mean()), 1),
        "band_coverage_percent": coverage(inside),
    }


def coverage(inside: NDArray[np.float64]) -> float | None:
    return None if np.isnan(inside).any() else round(100 * float(inside.mean()), 1)


def held(
    residuals: Residuals, bands: Mapping[str, Mapping[str, Document]], widening: Mapping[str, float]
) -> NDArray[np.float64]:
    """1 where the band of the observation's slice holds it, 0 where not, nan where its metric has none. ``widening``:
    by metric, in logs."""
    found = np.full(len(residuals.ratio), np.nan)
    for row, label in enumerate(residuals.metric):
        by_slice = bands.get(label, bands.get(label.split(".")[0]))
        if by_slice is None:
            continue
        names = (*slice_names(residuals.engine[row], residuals.load[row], residuals.experts[row]), GENERAL)
        edges_of = next(by_slice[name] for name in names if name in by_slice)
        wide = widening.get(label.split(".")[0], 0.0)
        found[row] = np.log(edges_of["low"]) - wide <= residuals.ratio[row] <= np.log(edges_of["high"]) + wide
    return found
