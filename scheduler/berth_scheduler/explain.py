"""A decision explained: what a person asks first, in the order in which they ask it. Data and words, no layout."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from berth_cost.cases.case import Prediction
from berth_cost.record import Record
from berth_scheduler.constraints import least_score
from berth_scheduler.decision import Constraint, Cost, Decision, Footprint, Transition
from berth_scheduler.savings.saving import Baseline
from berth_scheduler.savings.words import BASELINES, saving_phrase
from berth_scheduler.snapshot import Workload
from berth_scheduler.wording import (
    LATENCY_PARTS,
    band,
    berths_phrase,
    dollars,
    duration,
    model_metric,
    number,
    objective_name,
    percent,
    plural,
)


class ObjectiveLine(Record):
    """One objective: what is asked, what is predicted with its 90 % band in the same unit, and how that is known.

    ``holds`` is judged on the pessimistic edge of the band; None where there is nothing to judge by.
    """

    name: str
    asked: str
    predicted: str | None = None
    band: str | None = None
    evidence: str | None = None
    holds: bool | None = None


class TimeShare(Record):
    """A part of the mean latency."""

    name: str
    seconds: float
    text: str


class NearestChange(Record):
    """One change that would make an infeasible workload feasible, and what it would then get."""

    change: str
    result: str


class ComparedWith(Record):
    """A baseline by its name, and what it comes to."""

    baseline: Baseline
    name: str
    saved_usd_per_hour: Decimal | None = None
    """None where it cannot be computed; the text says why."""
    text: str


class Explanation(Record):
    """``headline`` answers the question; ``because`` is the binding constraint of what cannot be placed.

    ``why_not`` has every rejected group, the nearest miss first; a caller that shows fewer says how many are left.
    ``closing`` says what was not done, or what to do next.
    """

    workload: str
    placed: bool
    headline: str
    because: str | None = None
    objectives: tuple[ObjectiveLine, ...] = ()
    where_the_time_goes: tuple[TimeShare, ...] = ()
    bound_by: str | None = None
    """The largest part and what it is made of, as shares of the mean latency."""
    energy: str | None = None
    """What a request draws and emits, where its site is known."""
    compared_with: tuple[ComparedWith, ...] = ()
    """What it saves against named baselines, and where that comes from."""
    runners_up: tuple[str, ...] = ()
    why_not: tuple[str, ...] = ()
    nearest_that_would_do: tuple[NearestChange, ...] = ()
    closing: str | None = None


def explain(decision: Decision, workload: Workload) -> Explanation:
    """``workload`` is the one that the decision was made for: it knows what was asked."""
    if not decision.placed:
        return _explain_unplaced(decision, workload)
    return Explanation(
        workload=decision.workload,
        placed=True,
        headline=_headline(decision),
        objectives=tuple(_objectives(decision, workload)),
        where_the_time_goes=tuple(_time_shares(decision.prediction)) if decision.prediction else (),
        bound_by=_bound_by(decision.prediction),
        energy=_energy(decision.footprint) if decision.footprint and decision.footprint.sites else None,
        compared_with=tuple(
            ComparedWith(
                baseline=one.baseline,
                name=BASELINES[one.baseline],
                saved_usd_per_hour=one.saved_usd_per_hour,
                text=saving_phrase(one),
            )
            for one in decision.savings
        ),
        runners_up=tuple(one.message for one in decision.alternatives),
        why_not=tuple(one.message for one in decision.rejected),
        closing=_next_step(decision),
    )


def _explain_unplaced(decision: Decision, workload: Workload) -> Explanation:
    short, detail = _short(decision.message)
    if decision.rejected and not decision.waiting_for_capacity:
        detail = decision.rejected[0].message
    runs = any(one.serving for one in workload.running)
    closing = "What runs keeps running; nothing else was changed." if runs else "Nothing was deployed."
    return Explanation(
        workload=decision.workload,
        placed=False,
        headline=f"{decision.workload} cannot be placed{' yet' if decision.waiting_for_capacity else ''}: {short}.",
        because=detail or None,
        objectives=tuple(_asked(workload)),
        why_not=tuple(one.message for one in decision.rejected),
        nearest_that_would_do=tuple(
            NearestChange(change=one.change or "", result=f"{berths_phrase(one.berths)}, {dollars(one.usd_per_hour)}/h")
            for one in decision.alternatives
        ),
        closing=closing,
    )


def _short(message: str) -> tuple[str, str]:
    """What a headline has room for, and the rest. A message that starts with a field keeps it in the headline."""
    field, colon, rest = message.partition(": ")
    if colon and " " not in field:
        short, _, detail = rest.partition("; ")
        return f"{field}: {short}", detail
    return field, rest


def _energy(footprint: Footprint) -> str:
    """``41.2 J a request, 3.1 gCO2e per thousand requests; gcp us-east4: PUE 1.1, 323 gCO2e/kWh``"""
    parts = [f"{number(footprint.joules_per_request)} J a request"]
    if footprint.joules_per_million_tokens is not None:
        parts.append(f"{number(footprint.joules_per_million_tokens / 1e6)} J a token")
    if footprint.grams_co2e_per_thousand_requests is not None:
        parts.append(f"{number(footprint.grams_co2e_per_thousand_requests)} gCO2e per thousand requests")
    if footprint.carbon_usd_per_hour is not None:
        parts.append(f"ranked as {dollars(footprint.carbon_usd_per_hour)}/h more by the price of carbon")
    return "; ".join([", ".join(parts), *footprint.sites, *([footprint.unknown] if footprint.unknown else [])])


# --- the first line and the last -----------------------------------------------------------------------------------

_VERBS = {
    Transition.NONE: "is placed on",
    Transition.SWITCH: "moves to",
    Transition.RECREATE: "stops, and moves to",
    Transition.WAIT: "waits for room to move to",
}


def _headline(decision: Decision) -> str:
    verb = "runs on" if decision.kept and decision.transition is Transition.NONE else _VERBS[decision.transition]
    return f"{decision.workload} {verb} {berths_phrase(decision.berths)}: {_price(decision.cost)}."


def _price(cost: Cost | None) -> str:
    if cost is None:
        return "its price is not known"
    hourly = f"{dollars(cost.usd_per_hour)}/h"
    if cost.usd_per_hour_low is not None and cost.usd_per_hour_high is not None:
        hourly += (
            f" ({dollars(cost.usd_per_hour_low).removeprefix('$')}–{dollars(cost.usd_per_hour_high).removeprefix('$')})"
        )
    parts = [hourly, f"{dollars(cost.usd_per_month)}/month"]
    if cost.effective_usd_per_hour is not None and dollars(cost.effective_usd_per_hour) != dollars(cost.usd_per_hour):
        parts[0] += f" ({dollars(cost.effective_usd_per_hour)} with what interruptions waste)"
    if cost.usd_per_million_requests is not None:
        parts.append(f"{dollars(cost.usd_per_million_requests)} per million requests")
    if cost.usd_per_million_tokens is not None:
        parts.append(f"{dollars(cost.usd_per_million_tokens)} per million tokens")
    return ", ".join(parts)


def _next_step(decision: Decision) -> str | None:
    step = _what_to_do(decision)
    note = decision.cost.price_note if decision.cost else None
    doubt = f"The band of the cost is for {note}." if note else None
    return " ".join(sentence for sentence in (step, doubt) if sentence) or None


def _what_to_do(decision: Decision) -> str | None:
    if decision.transition in (Transition.WAIT, Transition.RECREATE):
        return decision.message[:1].upper() + decision.message[1:] + "."
    cheaper = [one for one in decision.alternatives if one.lost_by is Constraint.KEPT]
    if cheaper:
        return "What runs stays: a cheaper offer alone moves nothing. A change of the spec would take it."
    return None


# --- asked and predicted -------------------------------------------------------------------------------------------


def _asked(workload: Workload) -> Iterator[ObjectiveLine]:
    """Without predictions: what was asked of a workload that got nothing."""
    for ask in workload.latency:
        yield ObjectiveLine(name=objective_name(ask.metric, ask.statistic), asked=f"≤ {duration(ask.limit_seconds)}")
    if workload.quality is not None:
        yield ObjectiveLine(name=f"quality {workload.quality.metric}", asked=_asked_quality(workload))
    if workload.carbon_grams_per_thousand_requests is not None:
        asked = f"≤ {number(workload.carbon_grams_per_thousand_requests)} g/1,000 requests"
        yield ObjectiveLine(name="carbon", asked=asked)
    if workload.availability_percent is not None:
        yield ObjectiveLine(name="availability", asked=f"≥ {percent(workload.availability_percent)}")
    yield ObjectiveLine(name="throughput", asked=f"{number(workload.traffic.requests_per_second, 4)}/s")
    if workload.budget_usd_per_month is not None:
        yield ObjectiveLine(name="budget", asked=f"≤ {dollars(workload.budget_usd_per_month)}/month")


def _objectives(decision: Decision, workload: Workload) -> Iterator[ObjectiveLine]:
    for line, answer in zip(_asked(workload), _answers(decision, workload), strict=True):
        yield line.model_copy(update=answer)


def _answers(decision: Decision, workload: Workload) -> Iterator[dict[str, object]]:
    """In the order of :func:`_asked`."""
    prediction = decision.prediction
    for ask in workload.latency:
        evidence = _evidence(prediction, workload)
        yield _latency(prediction, model_metric(workload, ask.metric), ask.statistic, ask.limit_seconds, evidence)
    if workload.quality is not None:
        yield _quality(decision, workload)
    if workload.carbon_grams_per_thousand_requests is not None:
        yield _carbon(decision, workload.carbon_grams_per_thousand_requests)
    if workload.availability_percent is not None:
        yield _availability(decision, workload.availability_percent)
    yield _throughput(prediction, workload)
    if workload.budget_usd_per_month is not None:
        yield _budget(decision.cost, workload.budget_usd_per_month)


def _evidence(prediction: Prediction | None, workload: Workload) -> str | None:
    """``calibrated, 3 measured points``."""
    if prediction is None:
        return None
    if prediction.evidence == "estimated" or not workload.measured:
        return prediction.evidence
    return f"{prediction.evidence}, {plural(len(workload.measured), 'measured point')}"


def _latency(
    prediction: Prediction | None, metric: str, statistic: str, limit_seconds: float, evidence: str | None
) -> dict[str, object]:
    points = prediction.metrics.get(metric) if prediction else None
    bands = prediction.band.get(metric) if prediction else None
    if prediction is None or not isinstance(points, Mapping) or not isinstance(bands, Mapping):
        return {}
    low, high = bands[statistic]
    return {
        "predicted": duration(points[statistic]),
        "band": band(points[statistic], low, high),
        "evidence": evidence,
        "holds": high <= limit_seconds,
    }


def _asked_quality(workload: Workload) -> str:
    objective = workload.quality
    least = least_score(workload)
    if objective is not None and objective.maximum_loss_percent is not None and least.is_finite():
        return f"≥ {number(float(least), 6)} ({objective.maximum_loss_percent} % below the best)"
    return f"≥ {least}"


def _quality(decision: Decision, workload: Workload) -> dict[str, object]:
    precision = decision.berths[0].precision
    quality = next((one.quality for one in workload.variants if one.precision == precision), None)
    if quality is None:
        return {}
    holds = quality.score >= least_score(workload)
    return {"predicted": str(quality.score), "evidence": quality.evidence.lower(), "holds": holds}


def _availability(decision: Decision, asked: float) -> dict[str, object]:
    if decision.availability_percent is None:
        return {}
    return {
        "predicted": percent(decision.availability_percent),
        "evidence": "failure rates",
        "holds": decision.availability_percent >= asked,
    }


def _carbon(decision: Decision, limit: float) -> dict[str, object]:
    grams = decision.footprint.grams_co2e_per_thousand_requests if decision.footprint else None
    prediction = decision.prediction
    if grams is None or prediction is None:
        return {}
    point, edges = prediction.metrics["joulesPerRequest"], prediction.band["joulesPerRequest"]
    if isinstance(point, Mapping) or isinstance(edges, Mapping):
        return {}
    low, high = (grams * edge / point for edge in edges)
    return {
        "predicted": f"{number(grams)} g",
        "band": f"{number(low)}–{number(high)}",
        "evidence": prediction.evidence,
        "holds": high <= limit,
    }


def _throughput(prediction: Prediction | None, workload: Workload) -> dict[str, object]:
    if prediction is None or not prediction.utilization:
        return {}
    carried = workload.traffic.requests_per_second / prediction.utilization
    share = f"{number(prediction.utilization * 100)} % utilisation"
    return {"predicted": f"{number(carried)}/s", "evidence": share, "holds": prediction.utilization < 1}


def _budget(cost: Cost | None, budget: Decimal) -> dict[str, object]:
    if cost is None:
        return {}
    source = f" ({cost.price_source})" if cost.price_source else ""
    return {
        "predicted": f"{dollars(cost.usd_per_month)}/month",
        "evidence": f"prices of {cost.price_date}{source}",
        "holds": cost.usd_per_month <= budget,
    }


def _time_shares(prediction: Prediction) -> Iterator[TimeShare]:
    """Of the mean latency, in the order in which a request meets them; parts that take no time are left out."""
    if prediction.parts is not None:
        for field, name in LATENCY_PARTS.items():
            seconds = getattr(prediction.parts, field)
            if seconds > 0:
                yield TimeShare(name=name, seconds=seconds, text=f"{name} {duration(seconds)}")


_BOUND = {
    "memory": "memory-bound",
    "computation": "compute-bound",
    "overhead": "bound by overhead",
    "communication": "bound by communication",
    "input copy": "bound by the input copy",
    "queueing": "bound by queueing",
}
LEAST_SHARE = 0.02
"""Of the mean latency: what is less is not told."""


def _bound_by(prediction: Prediction | None) -> str | None:
    """``memory-bound: 71 % weights, 18 % KV cache, 6 % computation``."""
    if prediction is None or prediction.parts is None:
        return None
    parts, split = prediction.parts, prediction.memory_split
    seconds = {name: max(getattr(parts, field), 0.0) for field, name in LATENCY_PARTS.items()}
    whole = sum(seconds.values())
    if whole <= 0:
        return None
    largest = max(seconds, key=lambda name: seconds[name])
    if split is not None:
        other = max(seconds.pop("memory") - split.weight_seconds - split.cache_seconds, 0.0)
        seconds |= {"weights": split.weight_seconds, "KV cache": split.cache_seconds, "other reads": other}
    shares = sorted(((value / whole, name) for name, value in seconds.items()), key=lambda one: (-one[0], one[1]))
    told = [f"{round(share * 100)} % {name}" for share, name in shares if share >= LEAST_SHARE]
    return f"{_BOUND[largest]}: {', '.join(told)}"
