"""``berth probe``: what the GPUs of this node are, as a specification or on the Node itself."""

from pathlib import Path
from typing import Annotated

import typer

from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_operator.cli import options
from berth_operator.cli.outcome import InputError, Outcome
from berth_operator.cli.output import Column, Format, Output, Page, cell, note, progress
from berth_operator.cli.plan_view import markdown_row
from berth_operator.cli.sources import load_settings
from berth_operator.labels import GPU_SPECIFICATION, PROBE_MANAGER
from berth_operator.probe.nvml import NoDriver, ask_driver
from berth_operator.probe.rates import AchievedRate, NoLibrary, achieved_rates
from berth_operator.probe.specification import DRIVER_FACTS, Probe, ProbedGPU, probed
from berth_operator.supply.gpu_annotation import annotation_of, weakest
from berth_scheduler.wording import memory, number

COLUMNS = ("GPU", "NAME", "MEMORY", "BANDWIDTH", "POWER CAP", "NVLINK", "PCIE", "MIG")


def probe(
    *,
    node: Annotated[
        str | None,
        typer.Option("--node", metavar="NAME", help="Write it on this Node, as an annotation that plans prefer."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time copies and matrix products too, with torch or cupy.")
    ] = False,
    output: options.As = Format.YAML,
    to: options.To = None,
    settings: options.SettingsFile = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> int:
    """Ask the driver what this node's GPUs are: memory, MIG layout, clocks, power limits, links.

    Without a driver it says so and exits with 2.
    """
    _, catalogues = load_settings(settings)
    try:
        answers = ask_driver()
    except NoDriver as error:
        note(f"no NVIDIA driver to ask on this machine: {error}")
        return Outcome.DOES_NOT_HOLD
    if not answers.gpus:
        note("the driver sees no GPU: is one given to this container?")
        return Outcome.DOES_NOT_HOLD
    rates: tuple[AchievedRate, ...] = ()
    if measure:
        try:
            with progress("timing copies and matrix products"):
                rates = achieved_rates([gpu.index for gpu in answers.gpus])
        except NoLibrary as error:
            raise InputError(f"--measure: {error}") from error
    found = probed(answers, catalogues.gpus, rates)
    for why in dict.fromkeys(one.why_unknown for one in found.gpus if one.why_unknown):
        note(why)
    if node is not None:
        _annotate(node, annotation(found), kubeconfig, context)
    Output(output, to).write_record(found, lambda page: _show(page, found), lambda: _markdown(found))
    return Outcome.DONE


def annotation(found: Probe) -> str:
    """The text for the Node: its GPUs as the weakest of them. Raises :class:`InputError` where there are two kinds."""
    specifications: list[GPUSpecification] = [one.gpu_specification for one in found.gpus]
    names = sorted({one.name for one in specifications})
    if len(names) > 1:
        raise InputError(f"--node: this node has {' and '.join(names)}: plans need nodes with one kind of GPU")
    known = all(one.catalogue_name for one in found.gpus)
    facts = DRIVER_FACTS if known else (*DRIVER_FACTS, "peak_flops_per_second", "recalled")
    return annotation_of(weakest(specifications), facts)


def _annotate(node: str, text: str, kubeconfig: Path | None, context: str | None) -> None:
    from berth_operator.cli.cluster import annotate_node  # noqa: PLC0415 — a second of imports that others do not need

    annotate_node(node, {GPU_SPECIFICATION: text}, PROBE_MANAGER, kubeconfig, context)
    note(f"Node {node} is annotated with {GPU_SPECIFICATION}")


# --- for people --------------------------------------------------------------------------------------------------


def _show(page: Page, found: Probe) -> None:
    names = sorted({one.gpu_specification.name for one in found.gpus})
    page.sentence(f"{len(found.gpus)} × {' and '.join(names)}, driver {found.driver or 'unknown'}.", "bold")
    page.gap()
    rows = [[cell(text) for text in _cells(one)] for one in found.gpus]
    page.table([Column(header, least=12 if header == "NAME" else None) for header in COLUMNS], rows)
    if found.achieved:
        page.gap()
        for rate in found.achieved:
            unit = "GB/s" if rate.what == "copy" else "TFLOP/s"
            value = rate.per_second / (1e9 if rate.what == "copy" else 1e12)
            what = rate.what if rate.precision is None else f"{rate.what} {rate.precision}"
            page.sentence(f"GPU {rate.gpu}: {what} {number(value, 4)} {unit} ({rate.library})")


def _cells(one: ProbedGPU) -> tuple[str, ...]:
    gpu, said = one.gpu_specification, one.driver_says
    layout = ", ".join(f"{count} × {profile}" for profile, count in said.mig_layout.items())
    return (
        str(said.index),
        gpu.name,
        memory(said.memory_bytes),
        _rate(gpu.memory_bandwidth_bytes_per_second),
        "–" if gpu.power_watts is None else f"{number(gpu.power_watts)} W",
        _rate(gpu.nvlink_bytes_per_second),
        _rate(gpu.pcie_bytes_per_second),
        layout or ("on, not cut" if said.mig_enabled else "off"),
    )


def _rate(bytes_per_second: float | None) -> str:
    return f"{number(bytes_per_second / 1e9, 4)} GB/s" if bytes_per_second else "–"


def _markdown(found: Probe) -> str:
    head = [markdown_row(*(name.lower() for name in COLUMNS)), "|---" * len(COLUMNS) + "|"]
    return "\n".join([*head, *(markdown_row(*_cells(one)) for one in found.gpus)]) + "\n"
