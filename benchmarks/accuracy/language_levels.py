"""What is fitted of language models, at which levels, on which measurements.

Levels of an engine's constants: all engines, the engine, a version of it (or a campaign of unknown version). Of a GPU's
factors: its generation, the GPU. Precisions and links have one. Priors are those of ``language_priors.yaml``.
"""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from central_language import CentralLanguage
from hierarchical_fit import STEP, Floats, Key, Problem, Term, solve
from measured_cases import Observations, observations

from berth_cost.cases.case import Case
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.performance.case_table import CaseTable
from berth_cost.performance.engine_constants import Constants, built_in_constants
from berth_cost.performance.language.columns import entry_index, gpu_generation
from berth_cost.performance.language.constants import LanguageSet
from berth_cost.performance.prediction import predict

Document = dict[str, Any]

ENGINES = ("vllm", "tensorrtllm", "lmdeploy-turbomind", "llama.cpp", "mlc-llm")
RUNTIMES = {
    "vllm@0": ("vllm@0.12", "vllm@0.15"),
    "tensorrtllm@1": ("tensorrtllm@1.0", "tensorrtllm@1.1", "tensorrtllm@1.2", "tensorrtllm@1.2.0rc6.post3"),
}
"""Releases that share a runtime: TensorRT-LLM 1 runs graphs of PyTorch instead of compiled engines; of vLLM, campaigns
that state their release, none before its second scheduler. A release deviates from its runtime, that from its
engine."""
VERSIONS = (
    *RUNTIMES,
    "vllm@open",
    "vllm@closed",
    "vllm@0.12",
    "vllm@0.15",
    "tensorrtllm@0.5",
    "tensorrtllm@0.8",
    "tensorrtllm@0.10",
    "tensorrtllm@0.17",
    "tensorrtllm@1.0",
    "tensorrtllm@1.1",
    "tensorrtllm@1.2",
    "tensorrtllm@1.2.0rc6.post3",
)
"""Runtimes, and releases from which constants are their own: where the published measurements have a gap."""
KIN = {"sglang": "vllm@0"}
"""Engines that nobody measured, and a runtime of the same kind: a Python scheduler over recorded graphs and the same
kernels. Their bands stay those of a stranger."""
SPECIAL_SPREADS = {
    # Half the time per token of the version before, at every load: its publisher ran it with speculative decoding
    # (multi-token prediction), and says so nowhere else.
    ("tokens_per_step", "tensorrtllm@1.2.0rc6.post3"): 0.5,
    # Sampling: the closed campaign drew from the top of the distribution, the open one took the likeliest token.
    ("sequence_overhead_seconds", "vllm@open"): 0.8,
    ("sequence_overhead_seconds", "vllm@closed"): 0.8,
    # Steps that carry prompts took mixtures several times as long there: not in recorded graphs.
    ("prompt_expert_overhead_seconds", "vllm@closed"): 1.5,
}
"""Of a constant of a version, where more is known than of others."""

SPREADS = {
    "compute_efficiency": (0.10, 0.15, 0.12, 0.90),
    "memory_efficiency": (0.05, 0.07, 0.07, 0.93),
    "attention_efficiency": (0.20, 0.25, 0.20, 0.93),
    "attention_compute_efficiency": (0.30, 0.30, 0.20, 0.90),
    "expert_efficiency": (0.15, 0.20, 0.15, 1.10),
    "expert_compute_efficiency": (0.30, 0.30, 0.30, 1.00),
    "expert_overhead_seconds": (0.70, 0.70, 0.50, 1e-5),
    "ramp_tokens": (0.70, 0.50, 0.30, 512.0),
    "layer_overhead_seconds": (0.40, 0.50, 0.40, 2e-4),
    "step_overhead_seconds": (0.50, 0.60, 0.50, 2e-2),
    "sequence_overhead_seconds": (0.60, 0.60, 0.50, 2e-4),
    "expert_layer_overhead_seconds": (0.50, 0.60, 0.50, 4e-4),
    "latent_layer_overhead_seconds": (0.50, 0.50, 0.30, 4e-4),
    "quantized_layer_overhead_seconds": (0.60, 0.70, 0.50, 2e-4),
    "quantized_expert_overhead_seconds": (0.60, 0.70, 0.50, 4e-4),
    "prompt_layer_overhead_seconds": (0.30, 0.50, 0.10, 1e-3),
    "prompt_expert_overhead_seconds": (0.20, 0.30, 0.20, 2e-3),
    "request_overhead_seconds": (0.80, 0.80, 0.70, 0.5),
    "lookahead_steps": (0.30, 0.40, 0.40, 3.0),
    "tokens_per_step": (1e-4, 1e-4, 1e-4, 4.0),
    "reused_prefix_tokens": (0.20, 0.30, 0.30, 600.0),
    "cohort_share": (0.50, 0.60, 0.40, 1.0),
}
"""By constant of an engine: standard deviations (logs) of all engines around the prior, of an engine around all, of a
version around its engine; and the largest plausible value."""
GPU_SPREADS = {"compute": (0.07, 0.08), "memory": (0.04, 0.05)}
"""Of a generation, and of a GPU around it."""
PRECISION_SPREADS = {"compute": 0.20, "memory": 0.12}
LINK_SPREADS = {"latency_seconds": 0.40, "efficiency": 0.20}
HARNESS_SPREAD, HARNESS_FIRST_TOKEN_SPREAD = 0.03, 0.09
NOISE = 0.10
"""Standard deviation of a good residual, in logs."""
MOST_CASES = 120
"""That a source counts for."""
OVERLOAD_RESIDUAL = 0.7
"""Stands for a load that was measured but predicted to be too much."""
FEWEST_RUNS = 3
STRANGE = 0.6
"""Median residual (logs) of all runs of a deployment with like lengths, beyond which its label cannot be right."""
LONG_OUTPUT_TOKENS = 3000
"""Chat and reasoning runs of a deployment are told apart: they were different launches."""
OUTSIDE_THE_SERVER = {("kaito", "timeToFirstTokenSeconds"), ("kaito", "endToEndSeconds")}
"""Contains about 285 ms of client and HTTP, by its authors: neither fitted nor banded."""
TIMED = ("mlenergy", "lmdeploy")
"""State times too: their throughput says little more."""
NOT_SERVING = ("premai", "fastertransformer")
"""Single streams of libraries that serve nobody, and readings of memory: judged, not fitted."""


def source_of(case: Case) -> str:
    return case.id.split("/")[0]


def stranger_group(case: Case) -> str:
    """Everything but load, and whether outputs are long."""
    deployment = "/".join(case.id.split("#")[0].split("/")[:-2])
    return f"{deployment}/{(case.request.output_tokens or 0) > LONG_OUTPUT_TOKENS}"


def importance(case: Case, metric: str, statistic: str) -> float:
    """Of an observation in the fit, relative to a time per output token; 0: not fitted."""
    source, open_load = source_of(case), case.load.kind == "open"
    if source == "kaito":
        # Half of its runs are close to saturation, where waiting says more than steps do; the median says it again.
        return 0.4 if (metric, statistic) == ("timePerOutputTokenSeconds", "mean") else 0.0
    weights = {
        ("timePerOutputTokenSeconds", "mean"): 0.7 if open_load else 1.0,
        ("timePerOutputTokenSeconds", "p50"): 1.0,
        ("endToEndSeconds", "mean"): 1.0 if source == "blis-training" else 0.7,
        ("timeToFirstTokenSeconds", "mean"): 0.4,
        ("outputTokensPerSecond", "value"): 0.0 if open_load else 0.6 if source in TIMED else 1.0,
    }
    return weights.get((metric, statistic), 0.0)


@cache
def prior_text() -> str:
    return (Path(__file__).resolve().parent / "language_priors.yaml").read_text(encoding="utf-8")


def prior_language() -> Document:
    """The hand-set constants: a fit does not depend on earlier fits. Engines state what differs from the general."""
    document: Document = yaml.safe_load(prior_text())
    engines = document["engines"]
    document["engines"] = {name: {**engines["general"], **own} for name, own in engines.items()}
    checked = Constants.model_validate({**built_in_constants().model_dump(by_alias=False), "language": document})
    language: Document = checked.model_dump(by_alias=False)["language"]
    return language


@dataclass
class LanguageFit:
    """Cases, and the deviations that fit them best."""

    cases: Sequence[Case]
    gpus: Mapping[str, GPUSpecification]
    deviations: Mapping[Key, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = built_in_constants().model_dump(by_alias=False)
        self.prior = prior_language()
        self.unmeasured = sorted(set(self.prior["engines"]) - {"general", *ENGINES, *VERSIONS})
        self.table = case_table(self.cases, self.gpus)
        counts = Counter(source_of(case) for case in self.cases)
        self.judged: list[Observations] = []
        weights = []
        for one in observations(self.cases):
            weight = np.array([importance(self.cases[row], one.metric, one.statistic) for row in one.rows])
            weight = weight * [np.sqrt(min(1.0, MOST_CASES / counts[source_of(self.cases[row])])) for row in one.rows]
            kept = weight > 0
            if kept.any():
                self.judged.append(Observations(one.metric, one.statistic, one.rows[kept], one.values[kept]))
                weights.append(weight[kept] / NOISE)
        self.weight = np.concatenate(weights)
        self.rows = np.concatenate([one.rows for one in self.judged])
        self.central = CentralLanguage(self.table, self.judged, OVERLOAD_RESIDUAL)

    def solved(self, rounds: int = 14) -> "LanguageFit":
        """The same cases with the best deviations, starting from those at hand."""
        found = solve(Problem(self.terms(), self.weight, self.log_ratios), self.deviations, rounds)
        return LanguageFit(self.cases, self.gpus, found).after(self.prior)

    def without_strangers(self, rounds: int = 10) -> "LanguageFit":
        """Without the deployments that lie far off after a few rounds: run otherwise than their labels say."""
        first = self.solved(rounds)
        ratios = first.log_ratios(first.deviations, None)
        metric = np.concatenate([np.full(len(one.rows), one.metric) for one in self.judged])
        ratios = np.where(metric == "outputTokensPerSecond", -ratios, ratios)
        first_token = metric == "timeToFirstTokenSeconds"
        by_deployment: dict[str, list[float]] = {}
        for row, ratio in zip(self.rows[~first_token], ratios[~first_token], strict=True):
            by_deployment.setdefault(stranger_group(self.cases[row]), []).append(float(ratio))
        strange = {
            name
            for name, found in by_deployment.items()
            if len(found) >= FEWEST_RUNS and abs(float(np.median(found))) > STRANGE
        }
        kept = [case for case in self.cases if stranger_group(case) not in strange]
        return LanguageFit(kept, self.gpus, first.deviations)

    def after(self, language: Document) -> "LanguageFit":
        """The same fit with the jitter and power of ``language`` in place of the prior's."""
        fit = LanguageFit(self.cases, self.gpus, self.deviations)
        fit.prior = {**fit.prior, "jitter": language["jitter"], "power": language["power"]}
        return fit

    def terms(self) -> list[Term]:
        """In a fixed order."""
        keys, index = entry_index(Constants.model_validate(self.document({})), self.table)
        entry = np.array(keys)[index][self.rows]
        engine = np.array([key.split("@")[0] for key in entry])
        table, rows = self.table, self.rows
        gpu = np.array([one.name for one in table.gpus])[table.gpu_index][rows]
        generation = np.array([gpu_generation(one) or "" for one in table.gpus])[table.gpu_index][rows]
        precision = np.array(table.precisions)[table.precision_index][rows]
        everywhere = np.ones(len(rows))
        found = []
        for name, (of_all, of_engine, of_version, _) in SPREADS.items():
            found.append(Term(("engines", name, "general"), everywhere, of_all))
            found += [Term(("engines", name, key), _where(engine, key), of_engine) for key in ENGINES]
            for key in VERSIONS:
                # A new runtime is as far from the old one as from another engine.
                spread = SPECIAL_SPREADS.get((name, key), of_engine if key in RUNTIMES else of_version)
                acts = np.isin(entry, (key, *RUNTIMES.get(key, ()))).astype(np.float64)
                found.append(Term(("engines", name, key), acts, spread))
        for name, (of_generation, of_gpu) in GPU_SPREADS.items():
            for key in sorted(set(generation) - {""}):
                found.append(Term(("gpus", name, key), _where(generation, key), of_generation))
            found += [Term(("gpus", name, key), _where(gpu, key), of_gpu) for key in sorted(set(gpu))]
        for name, spread in PRECISION_SPREADS.items():
            for key in self.prior["precisions"]:
                found.append(Term(("precisions", name, key), _where(precision, key), spread))
        for link in self.prior["links"]:
            for name, spread in LINK_SPREADS.items():
                found.append(Term((f"links.{link}", name, link), everywhere, spread))
        return found + self._harness_terms()

    def _harness_terms(self) -> list[Term]:
        source = np.array([source_of(case) for case in self.cases])[self.rows]
        metric = np.concatenate([np.full(len(one.rows), one.metric) for one in self.judged])
        first = metric == "timeToFirstTokenSeconds"
        sign = np.where(metric == "outputTokensPerSecond", -1.0, 1.0)
        found = []
        for key in sorted(set(source)):
            mine = source == key
            found.append(Term(("harness", "service", key), mine * ~first * sign, HARNESS_SPREAD, harness=True))
            if (mine & first).any():
                acts = (mine & first).astype(np.float64)
                found.append(Term(("harness", "first", key), acts, HARNESS_FIRST_TOKEN_SPREAD, harness=True))
        return found

    def log_ratios(self, deviations: Mapping[Key, float], bumped: tuple[str, str] | None) -> Floats:
        language = LanguageSet.model_validate(self.document(deviations, bumped)["language"])
        return self.central.log_ratios(built_in_constants().model_copy(update={"language": language}))

    def document(self, deviations: Mapping[Key, float], bumped: tuple[str, str] | None = None) -> Document:
        """All constants at the deviations; ``bumped`` is e^STEP larger everywhere."""

        def factor(group: str, name: str, *levels: str) -> float:
            total = sum(deviations.get((group, name, level), 0.0) for level in levels)
            return float(np.exp(total + (STEP if bumped == (group, name) else 0.0)))

        language = copy.deepcopy(self.prior)
        prior = language["engines"]
        for key in ("general", *ENGINES, *VERSIONS):
            engine = key.split("@")[0]
            entry = dict(prior.get(engine, prior["general"]))
            levels = levels_of(key)
            for name, (_, _, _, highest) in SPREADS.items():
                raised = STEP if bumped == ("engines", name) else 0.0
                unbumped = entry[name] * factor("engines", name, *levels) / np.exp(raised)
                # The bump comes after the limit: at a limit there would be no slope to come back by.
                lowest = 1.0 if name == "tokens_per_step" else 0.0
                entry[name] = float(max(min(unbumped, highest), lowest) * np.exp(raised))
            language["engines"][key] = entry
        for key in self.unmeasured:
            own = {name: prior[key][name] for name in prior[key] if name not in SPREADS}
            language["engines"][key] = {**language["engines"][KIN.get(key, "general")], **own}
        names = sorted({key[2] for key in deviations if key[0] == "gpus"} | {one.name for one in self.table.gpus})
        for name in names:
            generation = next((gpu_generation(one) for one in self.table.gpus if one.name == name), None)
            language["gpus"][name] = {
                part: factor("gpus", part, *([generation] if generation else []), name) for part in GPU_SPREADS
            }
        for key, parts in language["precisions"].items():
            parts.update({name: min(value * factor("precisions", name, key), 1.15) for name, value in parts.items()})
        for link, parts in language["links"].items():
            parts.update({name: value * factor(f"links.{link}", name, link) for name, value in parts.items()})
            parts["efficiency"] = min(parts["efficiency"], 0.95)
        return {**self.constants, "language": language}


def levels_of(key: str) -> tuple[str, ...]:
    """Of an engine, a runtime or a release: what its constants deviate from, and itself, the widest first."""
    engine = key.partition("@")[0]
    runtime = tuple(name for name, releases in RUNTIMES.items() if key in releases)
    return tuple(dict.fromkeys(("general", engine, *runtime, key)))


def _where(labels: Any, label: str) -> Floats:
    return np.asarray(labels == label, dtype=np.float64)


def fits(cases: Sequence[Case], gpus: Mapping[str, GPUSpecification]) -> list[Case]:
    """Those that are fitted: of engines with constants of their own, and not faster than the hardware allows."""
    asked = [case for case in cases if source_of(case) not in NOT_SERVING and known_engine(case)]
    table = case_table(asked, gpus)
    impossible = faster_than_possible(asked, table)
    return [case for row, case in enumerate(asked) if row not in impossible]


def known_engine(case: Case) -> bool:
    return case.engine.name in ENGINES


def faster_than_possible(cases: Sequence[Case], table: CaseTable) -> set[int]:
    """Rows whose label must be wrong: they beat every peak rate at once, with some 8 % to spare."""
    answers = predict(table, ideal_constants())
    found: set[int] = set()
    for one in observations(cases):
        ratio = one.log_ratio(answers)
        if one.metric in ("timePerOutputTokenSeconds", "endToEndSeconds") and one.statistic in ("mean", "p50"):
            found |= {int(row) for row, value in zip(one.rows, ratio, strict=True) if value > 0}
        elif one.metric == "outputTokensPerSecond":
            closed = [cases[row].load.kind != "open" for row in one.rows]
            found |= {int(row) for row, value, own in zip(one.rows, ratio, closed, strict=True) if own and value < 0}
    return found


def ideal_constants() -> Constants:
    """Every peak rate reached at once, no overhead, nearly the whole prompt cached, no limit on the batch. From the
    priors: what is fitted must not depend on what was fitted before."""
    language = prior_language()
    language["gpus"], language["precisions"] = {}, {}
    for entry in language["engines"].values():
        for name in SPREADS:
            if name == "tokens_per_step":
                continue
            gone = name.endswith("_seconds") or name in ("ramp_tokens", "cohort_share", "lookahead_steps")
            entry[name] = 0.0 if gone else 600.0 if name == "reused_prefix_tokens" else 1.08
        entry.update(maximum_batched_tokens=16384, maximum_batch_size=4096, quantized_cache_bytes=1.0)
    return built_in_constants().model_copy(update={"language": LanguageSet.model_validate(language)})
