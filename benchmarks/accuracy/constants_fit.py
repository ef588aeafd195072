"""What the fits of both kinds of models share: weights, residuals, folds, and bands and errors of unseen cases.

Every constant is fitted in logs by least squares with a prior, so that one that the data cannot tell stays plausible.
Bands and errors come from cases that the fit has not seen: models are dealt into five folds, and each fold is predicted
with constants fitted on the other four; the general prior is judged on engines that it has not seen. Cases count less
where a source has many, so that none drowns the others.
"""

import argparse
import copy
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from least_squares import Parameter, fit
from measured_cases import DEFAULT_DATA, Observations, observations, read_cases
from numpy.typing import NDArray

from berth_cost.cases.case import Case
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.performance.case_table import CaseTable
from berth_cost.performance.engine_constants import Constants, built_in_constants, engine_name
from berth_cost.performance.fitted_constants import GENERAL, FittedConstants
from berth_cost.performance.prediction import predict
from berth_cost.performance.prediction_table import SCALAR, PredictionTable
from berth_cost.rounding import significant_number

Floats = NDArray[np.float64]
Document = dict[str, Any]
DATA_FOLDER = Path(__file__).resolve().parents[2] / "cost_model" / "berth_cost" / "data"
FOLDS = 5
NOISE = 0.15
"""Standard deviation, in logs, at which a residual counts as one: what a good model leaves."""
OUTSIDE_THE_SERVER = {("kaito", "timeToFirstTokenSeconds")}
"""Contains about 285 ms of client and HTTP, by its authors: shown among the errors, but neither fitted nor banded."""
FEWEST_FOR_BAND = 25
"""Residuals that an engine's own band needs; with fewer the general band serves."""
FIRST_TOKEN_WEIGHT = 0.4
OVERLOAD_RESIDUAL = 0.7
"""Stands for a load that was measured but predicted to be too much."""
TIMES = ("latencySeconds", "timePerOutputTokenSeconds", "timeToFirstTokenSeconds", "endToEndSeconds")
OFFERED = ("requestsPerSecond", "outputTokensPerSecond", "totalTokensPerSecond", "itemsPerSecond")
"""What an open load states rather than measures."""
CENTRAL = ("mean", "p50", SCALAR)
TAILS = ("p90", "p95", "p99")
RATES = ("itemsPerSecond", "outputTokensPerSecond")


@dataclass(frozen=True)
class Kind:
    """One kind of model: what is fitted, and on what."""

    name: str
    """``language`` or ``classic``: the key of the constants, and the beginning of their file's name."""
    engines: tuple[str, ...]
    priors: Mapping[str, tuple[float, float]]
    """By constant of an engine: deviation of the prior in logs, and the largest plausible value."""
    shared_parameters: "Callable[[Document, Measured], list[Parameter]]"
    """What all engines have in common; missing entries of the document are filled in."""
    jitter: tuple[str, ...]
    banded: tuple[str, ...]
    """Metrics that get a band."""
    source_weight: int
    """Cases that a source counts for at most."""
    belongs: Callable[[Case], bool]
    fits: Callable[[Case], bool]
    """False: judged, but not fitted."""
    every: Mapping[str, int]
    """Of a source with thousands of alike cases, every n-th is fitted (all are predicted)."""


@dataclass(frozen=True)
class Measured:
    """Cases with the observations that constants are judged by, one per case and metric."""

    cases: list[Case]
    table: CaseTable
    judged: list[Observations]

    @property
    def sources(self) -> list[str]:
        return [source_of(case) for case in self.cases]


def source_of(case: Case) -> str:
    return case.id.split("/")[0]


def measured(cases: list[Case], gpus: Mapping[str, GPUSpecification]) -> Measured:
    """Central observations only: the mean of a time (the median where it has none), a rate where there is no time."""
    judged = []
    offered = np.array([case.load.kind == "open" for case in cases])
    everything = observations(cases)
    stated = {(one.metric, one.statistic): set(one.rows.tolist()) for one in everything}
    timed = set().union(*(stated.get((metric, name), set()) for metric in TIMES for name in ("mean", "p50")))
    for one in everything:
        if one.metric in TIMES and one.statistic in ("mean", "p50"):
            means = stated.get((one.metric, "mean"), set()) if one.statistic == "p50" else set()
            keep = np.array([row not in means for row in one.rows], dtype=np.bool_)
        elif one.metric in RATES:
            keep = np.array([row not in timed for row in one.rows], dtype=np.bool_) & ~offered[one.rows]
        else:
            continue
        keep &= np.array([(source_of(cases[row]), one.metric) not in OUTSIDE_THE_SERVER for row in one.rows])
        if keep.any():
            judged.append(Observations(one.metric, one.statistic, one.rows[keep], one.values[keep]))
    return Measured(cases, case_table(cases, gpus), judged)


def weights(data: Measured, most: int) -> Floats:
    """One over the noise, less where a source has more cases than it counts for; shape (cases,)."""
    counts = Counter(data.sources)
    return np.array([np.sqrt(min(1.0, most / counts[source])) / NOISE for source in data.sources])


def residuals(data: Measured, weight: Floats, answers: PredictionTable) -> Floats:
    """Weighted log ratios of predicted to observed; what cannot run counts nothing, overload counts as a miss."""
    parts = []
    for one in data.judged:
        ratio = one.log_ratio(answers)
        overload = answers.reason_code[one.rows] == "overload"
        ratio = np.where(overload, OVERLOAD_RESIDUAL, np.nan_to_num(np.clip(ratio, -3, 3)))
        factor = FIRST_TOKEN_WEIGHT if one.metric == "timeToFirstTokenSeconds" else 1.0
        parts.append(ratio * weight[one.rows] * factor)
    return np.concatenate(parts)


def at(document: Document, path: Sequence[str]) -> Any:
    for key in path:
        document = document[key]
    return document


def put(document: Document, path: Sequence[str], value: float) -> None:
    at(document, path[:-1])[path[-1]] = value


def fitted(document: Document, data: Measured, kind: Kind, parameters: Sequence[Parameter]) -> Document:
    """``document`` with the parameters fitted to the central observations of ``data``."""
    weight = weights(data, kind.source_weight)
    return fitted_to(document, data, parameters, lambda answers: residuals(data, weight, answers))


def fitted_to(
    document: Document, data: Measured, parameters: Sequence[Parameter], measure: Callable[[PredictionTable], Floats]
) -> Document:
    """``document`` with the parameters at which ``measure`` of the predictions is least."""

    def moved(values: Iterable[float]) -> Document:
        changed = copy.deepcopy(document)
        for one, value in zip(parameters, values, strict=True):
            put(changed, one.path, float(np.clip(value, one.lower, one.upper)))
        return changed

    def measured_at(values: Floats) -> Floats:
        return measure(predict(data.table, Constants.model_validate(moved(values))))

    start = np.array([at(document, one.path) for one in parameters], dtype=np.float64)
    return moved(fit(measured_at, start, parameters))


def of_engines(
    data: Measured, engines: Iterable[str], constants: Constants, gpus: Mapping[str, GPUSpecification]
) -> Measured:
    """The cases of some engines."""
    chosen = set(engines)
    return measured([case for case in data.cases if engine_name(constants, case.engine) in chosen], gpus)


def engine_parameters(kind: Kind, engine: str) -> list[Parameter]:
    return [
        Parameter((kind.name, "engines", engine, name), deviation, upper)
        for name, (deviation, upper) in kind.priors.items()
    ]


def fit_kind(document: Document, data: Measured, kind: Kind, gpus: Mapping[str, GPUSpecification]) -> Document:
    """Fit the general prior first, then every engine around it together with what engines share."""
    document = copy.deepcopy(document)
    shared = kind.shared_parameters(document, data)
    engines = document[kind.name]["engines"]
    defaults = {engine: engines.get(engine, engines[GENERAL]) for engine in kind.engines}
    document[kind.name]["engines"] = {GENERAL: engines[GENERAL]}
    document = fitted(document, data, kind, [*engine_parameters(kind, GENERAL), *shared])
    engines = document[kind.name]["engines"]
    for engine in kind.engines:
        own = {name: engines[GENERAL][name] for name in kind.priors}
        engines[engine] = {**defaults[engine], **own}
    every = [one for engine in kind.engines for one in engine_parameters(kind, engine)]
    seen = of_engines(data, kind.engines, Constants.model_validate(document), gpus)
    return fitted(document, seen, kind, [*every, *shared])


def fit_spread(document: Document, data: Measured, kind: Kind) -> Document:
    """Jitter, from high percentiles over the mean of the same run: the mean's own error divides out."""
    tails = [one for one in observations(data.cases) if one.metric in TIMES and one.statistic in ("p95", "p99")]
    means = {one.metric: one for one in data.judged if one.statistic == "mean"}
    weight = weights(data, kind.source_weight)

    def measure(answers: PredictionTable) -> Floats:
        parts = []
        for one in tails:
            center = np.full(len(data.cases), np.nan)
            if one.metric in means:
                center[means[one.metric].rows] = means[one.metric].values
            point = answers.point[one.metric]
            spread = point[one.statistic][one.rows] / point["mean"][one.rows]
            parts.append(np.nan_to_num(np.log(spread * center[one.rows] / one.values)) * weight[one.rows])
        return np.concatenate(parts)

    parameters = [Parameter((kind.name, "jitter", name), 1.0, 0.8) for name in kind.jitter]
    return fitted_to(document, data, parameters, measure)


def fold_of(cases: Sequence[Case]) -> NDArray[np.int64]:
    """All cases of a model share a fold; models are dealt out in alphabetical order."""
    names = sorted({case.model.name for case in cases})
    position = {name: index % FOLDS for index, name in enumerate(names)}
    return np.array([position[case.model.name] for case in cases], dtype=np.int64)


@dataclass(frozen=True)
class Judged:
    """Log ratios of observed to predicted of cases that the constants had not seen."""

    source: str
    engine: str
    metric: str
    statistic: str
    ratios: Floats


def judge(cases: Sequence[Case], constants: Constants, gpus: Mapping[str, GPUSpecification]) -> list[Judged]:
    """Every observation of ``cases``, by source, engine, metric and statistic."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((source_of(case), engine_name(constants, case.engine)), []).append(case)
    found = []
    for (source, engine), some in sorted(groups.items()):
        answers = predict(case_table(some, gpus), constants)
        for one in observations(some):
            ratios = -one.log_ratio(answers)
            ratios = ratios[np.isfinite(ratios)]
            if len(ratios) and not (one.metric in OFFERED and some[0].load.kind == "open"):
                found.append(Judged(source, engine, one.metric, one.statistic, ratios))
    return found


def merged(parts: Iterable[Judged]) -> list[Judged]:
    """Folds put together."""
    together: dict[tuple[str, str, str, str], list[Floats]] = {}
    for one in parts:
        together.setdefault((one.source, one.engine, one.metric, one.statistic), []).append(one.ratios)
    return [Judged(*key, np.concatenate(ratios)) for key, ratios in sorted(together.items())]


def bands_of(
    own: Sequence[Judged], strangers: Sequence[Judged], banded: Sequence[str]
) -> dict[str, dict[str, Document]]:
    """Edges by metric (and tail), then engine; ``general`` from engines that the general prior had not seen."""
    bands: dict[str, dict[str, Document]] = {}
    for metric in banded:
        for key, statistics in ((metric, CENTRAL), *((f"{metric}.{tail}", (tail,)) for tail in TAILS)):
            general = pooled(strangers, metric, statistics)
            if len(general) < FEWEST_FOR_BAND:
                general = np.concatenate([general, pooled(own, metric, statistics)])
            if len(general) < FEWEST_FOR_BAND:
                continue
            # Of an engine that nobody has seen we are never surer than of those that we have.
            entry = {GENERAL: wider(edges(general), edges(pooled(own, metric, statistics)))}
            for engine in sorted({one.engine for one in own}):
                ratios = pooled([one for one in own if one.engine == engine], metric, statistics)
                if len(ratios) >= FEWEST_FOR_BAND:
                    entry[engine] = edges(ratios)
            bands[key] = entry if key == metric else at_least(entry, bands[metric])
    return bands


def at_least(tail: dict[str, Document], central: dict[str, Document]) -> dict[str, Document]:
    """A high percentile is never surer than the mean: the wider of both edges, for every engine of either."""
    return {
        engine: wider(tail.get(engine, tail[GENERAL]), central.get(engine, central[GENERAL]))
        for engine in sorted({*tail, *central})
    }


def wider(edges: Document, others: Document) -> Document:
    """The outer edges of both; the cases are those of the first."""
    return {**edges, "low": min(edges["low"], others["low"]), "high": max(edges["high"], others["high"])}


def pooled(parts: Iterable[Judged], metric: str, statistics: Sequence[str]) -> Floats:
    """Log ratios with equal weight of sources: each is resampled at evenly spaced quantiles."""
    chosen: dict[str, list[Floats]] = {}
    for one in parts:
        within = (one.source, one.metric) not in OUTSIDE_THE_SERVER
        if within and one.metric == metric and one.statistic in statistics:
            chosen.setdefault(one.source, []).append(one.ratios)
    joined = [np.concatenate(ratios) for _, ratios in sorted(chosen.items())]
    longest = max((len(ratios) for ratios in joined), default=0)
    grid = (np.arange(longest) + 0.5) / max(longest, 1)
    # A source with a handful of runs must not outweigh one with hundreds: it counts for at most five times its size.
    return np.concatenate(
        [np.quantile(ratios, grid[:: max(1, longest // (5 * len(ratios)))]) for ratios in joined] or [np.empty(0)]
    )


def edges(ratios: Floats) -> Document:
    low, high = np.quantile(ratios, (0.05, 0.95))
    return {
        "low": round(float(np.exp(min(low, -0.05))), 3),
        "high": round(float(np.exp(max(high, 0.05))), 3),
        "cases": len(ratios),
    }


def errors_of(parts: Sequence[Judged], constants: FittedConstants) -> list[Document]:
    """Absolute percentage error of predictions, and how many observations the band holds, by source and metric."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for one in parts:
        label = one.metric if one.statistic == SCALAR else f"{one.metric}.{one.statistic}"
        groups.setdefault((one.source, label), []).append(one)
    rows = []
    for (source, label), some in sorted(groups.items()):
        error = np.abs(np.expm1(-np.concatenate([one.ratios for one in some])))
        banded = one_metric_of(label) in constants.bands
        inside = np.concatenate([held(one, constants) for one in some])
        rows.append(
            {
                "source": source,
                "metric": label,
                "cases": len(error),
                "median_percent": round(100 * float(np.median(error)), 1),
                "mean_percent": round(100 * float(error.mean()), 1),
                "band_coverage_percent": round(100 * float(inside.mean()), 1) if banded else None,
            }
        )
    return rows


def one_metric_of(label: str) -> str:
    return label.split(".", maxsplit=1)[0]


def held(one: Judged, constants: FittedConstants) -> NDArray[np.bool_]:
    by_engine = constants.bands.get(f"{one.metric}.{one.statistic}", constants.bands.get(one.metric))
    if by_engine is None:
        return np.zeros(len(one.ratios), dtype=np.bool_)
    band = by_engine.get(one.engine, by_engine[GENERAL])
    return (one.ratios >= np.log(band.low)) & (one.ratios <= np.log(band.high))


def thinned(cases: Iterable[Case], kind: Kind) -> list[Case]:
    """What is fitted of the cases of a kind."""
    kept, seen = [], Counter[str]()
    for case in cases:
        source = source_of(case)
        if not (kind.belongs(case) and kind.fits(case)):
            continue
        if seen[source] % kind.every.get(source, 1) == 0:
            kept.append(case)
        seen[source] += 1
    return kept


FitAll = Callable[[Document, Measured, Mapping[str, GPUSpecification]], Document]
"""All constants of a kind, fitted to the measured cases."""


def run(cases: Sequence[Case], kind: Kind, fit_all: FitAll, date: str) -> Document:
    """The document of a kind: constants on all cases, bands and errors on cases that were held out."""
    gpus = GPUCatalogue.load_builtin().specifications
    cases = [case for case in cases if kind.belongs(case)]
    prior = prior_document(kind)
    document = fit_all(copy.deepcopy(prior), measured(thinned(cases, kind), gpus), gpus)
    print("constants fitted on all cases", file=sys.stderr)
    folds = fold_of(cases)
    held_out: list[Judged] = []
    for fold in range(FOLDS):
        seen = [case for case, its in zip(cases, folds, strict=True) if its != fold]
        unseen = [case for case, its in zip(cases, folds, strict=True) if its == fold]
        fold_document = fit_all(copy.deepcopy(prior), measured(thinned(seen, kind), gpus), gpus)
        held_out += judge(unseen, Constants.model_validate(fold_document), gpus)
        print(f"fold {fold + 1} of {FOLDS} judged", file=sys.stderr)
    own = merged(held_out)
    bands = bands_of(own, judge_strangers(cases, kind, document, gpus), kind.banded)
    result: Document = document[kind.name]
    result["bands"] = {**prior[kind.name]["bands"], **bands}
    result["errors"] = []
    result["errors"] = errors_of(own, getattr(Constants.model_validate(document), kind.name))
    result["date"] = date
    result["data"] = sorted({source_of(case) for case in cases})
    return result


def prior_document(kind: Kind) -> Document:
    """The hand-set constants beside this file in place of the fitted ones: a fit does not depend on earlier fits."""
    text = (Path(__file__).resolve().parent / f"{kind.name}_priors.yaml").read_text(encoding="utf-8")
    constants = built_in_constants().model_dump(by_alias=False)
    # Through the type of the fitted constants, so that a prior states all of them.
    document = Constants.model_validate({**constants, kind.name: yaml.safe_load(text)})
    return document.model_dump(by_alias=False)


def judge_strangers(
    cases: Sequence[Case], kind: Kind, document: Document, gpus: Mapping[str, GPUSpecification]
) -> list[Judged]:
    """Each engine predicted by a general prior that was fitted without it."""
    constants = Constants.model_validate(document)
    found: list[Judged] = []
    seen = thinned(cases, kind)
    for engine in kind.engines:
        others = measured([case for case in seen if engine_name(constants, case.engine) != engine], gpus)
        alone = copy.deepcopy(document)
        alone[kind.name]["engines"] = {GENERAL: alone[kind.name]["engines"][GENERAL]}
        alone = fitted(alone, others, kind, engine_parameters(kind, GENERAL))
        own = [case for case in seen if engine_name(constants, case.engine) == engine]
        if own:
            found += judge(own, Constants.model_validate(alone), gpus)
    return found


def write(document: Document, kind: Kind, file: Path) -> None:
    text = yaml.safe_dump(json_keys(kind, significant_digits(document)), sort_keys=False, width=120, allow_unicode=True)
    file.write_text(header(kind) + text, encoding="utf-8")


def json_keys(kind: Kind, document: Document) -> Document:
    """Checked, under the names that the file has."""
    constants = built_in_constants().model_dump(by_alias=False)
    checked = Constants.model_validate({**constants, kind.name: document})
    written: Document = checked.model_dump(by_alias=True, mode="json")[kind.name]
    return written


def header(kind: Kind) -> str:
    return (
        f"# Constants from benchmarks/accuracy/fit_{kind.name}.py: fit again rather than edit.\n"
        f"# What each one means: {kind.name}_constants.py. Bands and errors: models that the fit had not seen.\n"
    )


def significant_digits(value: Any) -> Any:
    """Floats anywhere inside, to four significant digits: more would be a claim."""
    if isinstance(value, float):
        return significant_number(value, 4)
    if isinstance(value, Mapping):
        return {key: significant_digits(one) for key, one in value.items()}
    return [significant_digits(one) for one in value] if isinstance(value, list | tuple) else value


def command(kind: Kind, fit_all: FitAll, description: str | None) -> int:
    """Fit, and write the file of the kind."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    default = DATA_FOLDER / f"{kind.name}_constants.yaml"
    parser.add_argument("--to", type=Path, default=default, help="the file to write")
    parser.add_argument("--date", required=True, help="of the fit, YYYY-MM-DD: it is written into the file")
    arguments = parser.parse_args()
    sources = read_cases(arguments.data)
    if not sources:
        print(f"no measured cases in {arguments.data}: nothing is fitted; name a folder with --data", file=sys.stderr)
        return 1
    document = run([case for cases in sources.values() for case in cases], kind, fit_all, arguments.date)
    write(document, kind, arguments.to)
    print(f"wrote {arguments.to}", file=sys.stderr)
    return 0
