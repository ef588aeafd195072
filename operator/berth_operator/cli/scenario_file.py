"""A cost scenario from a file, with file and line for whatever is wrong, and its demand sized by the planner."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from berth_cost.ownership.pricing import ScenarioError
from berth_cost.ownership.scenario import Scenario
from berth_operator.api.problem import field_problems
from berth_operator.cli.outcome import InputError
from berth_operator.cli.sources import Sources, make_plan, see
from berth_operator.yaml_document import Document, Unreadable, read_documents
from berth_scheduler.decision import Decision
from berth_scheduler.snapshot import Workload
from berth_scheduler.wording import berths_phrase


class ScenarioFile:
    """One file with one scenario."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`InputError` with everything that is wrong in the file."""
        self.path = path
        self._document = _document(path)
        value = _without_nothing(self._document.value)
        try:
            self.scenario = Scenario.model_validate(value, by_alias=True, by_name=False)
        except ValidationError as error:
            problems = field_problems(Scenario, error)
            raise InputError(*(self.flaw(problem.path, problem.message) for problem in problems)) from error

    def flaw(self, path: str, message: str) -> str:
        return str(self._document.flaw(path, message))

    def refusal(self, error: ScenarioError) -> InputError:
        """What the calculation found wrong, with the lines of the fields."""
        return InputError(*(self.flaw(flaw.path, flaw.message) for flaw in error.flaws))


def _document(path: Path) -> Document:
    try:
        documents = list(read_documents(path.read_text(encoding="utf-8"), str(path)))
    except Unreadable as error:
        raise InputError(str(error.flaw)) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not UTF-8: {error.reason}"
        raise InputError(f"{path}: {reason}") from error
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise InputError(f"{path}: must hold one cost scenario, a mapping with horizonMonths, demand and options")
    if "apiVersion" in documents[0].value:
        raise InputError(f"{path}: is a manifest, no cost scenario: berth plan -f {path} plans it")
    return documents[0]


def _without_nothing(value: Any) -> Any:
    """A key without a value, as left by commenting out what was below it, is a key that is not there."""
    if isinstance(value, dict):
        return {name: _without_nothing(each) for name, each in value.items() if each is not None}
    return [_without_nothing(each) for each in value] if isinstance(value, list) else value


class NoPlacement(Exception):
    """Raised where the planner finds no place for the workload: the scenario has an answer, and it is no."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A scenario whose demand is in GPUs; ``told`` is how the planner chose them, ``gpu`` which they are."""

    scenario: Scenario
    told: str | None = None
    gpu: str | None = None


def sized(file: ScenarioFile, settings: Path | None) -> Sized:
    """The scenario with GPUs and their utilisation; as it is where they are stated.

    Raises :class:`InputError` for a workload file that cannot be used, :class:`NoPlacement` where nothing fits.
    """
    scenario, demand = file.scenario, file.scenario.demand
    if demand.workload is None:
        return Sized(scenario)
    paths = [_beside(file, "demand.workload", demand.workload)]
    paths += [_beside(file, "demand.pools", demand.pools)] if demand.pools is not None else []
    snapshot = see(Sources(files=tuple(paths), settings=settings)).snapshot
    if len(snapshot.workloads) != 1:
        found = f"{paths[0]} holds {len(snapshot.workloads)} InferenceWorkloads: it must hold one"
        raise InputError(file.flaw("demand.workload", found))
    assert demand.requests_per_second is not None
    workload = _at_rate(snapshot.workloads[0], float(demand.requests_per_second))
    decision = make_plan(snapshot.model_copy(update={"workloads": (workload,)})).decisions[0]
    if not decision.placed:
        hint = "" if snapshot.pools else " (no GPUPool to place it on: add it to the file, or state demand.pools)"
        raise NoPlacement(f"{decision.workload} cannot be sized: {decision.message}{hint}")
    update = {
        "gpus": Decimal(repr(sum(berth.gpus_per_replica * berth.replicas for berth in decision.berths))),
        "utilization_percent": _utilization_percent(decision),
        "tokens_per_request": demand.tokens_per_request or _tokens(workload),
    }
    told = f"{demand.workload}: {berths_phrase(decision.berths)} at {demand.requests_per_second} requests/s"
    return Sized(scenario.model_copy(update={"demand": demand.model_copy(update=update)}), told, decision.berths[0].gpu)


def _beside(file: ScenarioFile, key: str, name: str) -> Path:
    """A file that the scenario names, relative to its own place."""
    path = file.path.parent / name
    if not path.exists():
        raise InputError(file.flaw(key, f"{path}: no such file"))
    return path


def _at_rate(workload: Workload, requests_per_second: float) -> Workload:
    traffic = workload.traffic.model_copy(update={"requests_per_second": requests_per_second})
    return workload.model_copy(update={"traffic": traffic})


def _utilization_percent(decision: Decision) -> Decimal:
    """Of the capacity that the placement has, what the rate takes: what "used" means for GPUs that serve."""
    used = decision.prediction.utilization if decision.prediction else None
    return Decimal(repr(min(100.0, round((used if used is not None else 1.0) * 100, 4))))


def _tokens(workload: Workload) -> Decimal | None:
    tokens = sum(part.mean for part in (workload.traffic.input_tokens, workload.traffic.output_tokens) if part)
    return Decimal(repr(float(tokens))) if tokens else None
