"""A snapshot as a page: what there is to place, and what there is to place it on."""

from collections.abc import Iterable

from rich.text import Text

from berth_operator.cli import columns
from berth_operator.cli.output import Column, Page, cell
from berth_operator.cli.plan_view import markdown_row
from berth_scheduler.snapshot import Pool, Snapshot, Workload
from berth_scheduler.wording import number, plural

WORKLOADS = (
    Column("WORKLOAD", least=24),
    Column("MODEL", least=16),
    Column("BACKEND"),
    Column("PRECISIONS", least=12),
    Column("RATE", right=True),
    Column("RUNS"),
)
POOLS = (
    Column("POOL", least=24),
    Column("GPU"),
    Column("BOUGHT"),
    Column("NODES", right=True),
    Column("FREE", least=12),
    Column("NODE PRICE", right=True),
)


def _summary(snapshot: Snapshot) -> str:
    nodes = sum(len(pool.nodes) for pool in snapshot.pools)
    counts = (plural(len(snapshot.workloads), "workload"), plural(len(snapshot.pools), "pool"), plural(nodes, "node"))
    return f"{', '.join(counts)}, at {snapshot.time:%Y-%m-%d %H:%M} UTC."


def show_snapshot(page: Page, snapshot: Snapshot) -> None:
    page.sentence(_summary(snapshot), "bold")
    if snapshot.workloads:
        page.gap()
        page.table(WORKLOADS, [_cells(_workload_row(one)) for one in snapshot.workloads])
    if snapshot.pools:
        page.gap()
        page.table(POOLS, [_cells(_pool_row(pool)) for pool in snapshot.pools])
    said = [(one.key, [p for p in (one.problem, *one.remarks) if p]) for one in snapshot.workloads]
    said += [(f"pool {pool.name}", [*pool.problems, *pool.remarks]) for pool in snapshot.pools]
    if any(problems for _, problems in said):
        page.gap()
    for name, problems in said:
        for problem in problems:
            page.sentence(f"{name}: {problem.reason}: {problem.message}", "yellow", indent="  ", first="")


def _cells(texts: Iterable[str]) -> tuple[Text, ...]:
    return tuple(map(cell, texts))


def _workload_row(workload: Workload) -> tuple[str, ...]:
    running = [berth for one in workload.running for berth in one.berths]
    ready = sum(one.ready_replicas for one in running)
    return (
        workload.key,
        workload.model.name if workload.model else columns.NOTHING,
        workload.backend or columns.NOTHING,
        ", ".join(one.precision for one in workload.variants) or columns.NOTHING,
        f"{number(workload.traffic.requests_per_second, 4)}/s",
        f"{ready} of {sum(one.berth.replicas for one in running)} ready" if running else columns.NOTHING,
    )


def _pool_row(pool: Pool) -> tuple[str, ...]:
    most = f" of {pool.maximum_nodes}" if pool.maximum_nodes is not None else ""
    slices: dict[str, int] = {}
    for node in pool.nodes:
        for profile, count in node.free_slices.items():
            slices[profile] = slices.get(profile, 0) + count
    free = ", ".join(f"{count} × {profile}" for profile, count in sorted(slices.items()))
    gpus = sum(node.free_gpus for node in pool.nodes)
    return (
        pool.name,
        f"{pool.gpus_per_node}×{pool.gpu.name}" if pool.gpu else "not known",
        pool.capacity_type.value,
        f"{len(pool.nodes)}{most}",
        free or f"{gpus} GPUs",
        columns.hourly(pool.price.usd_per_node_hour) if pool.price else "not known",
    )


def snapshot_markdown(snapshot: Snapshot) -> str:
    lines = [f"**{_summary(snapshot)}**", "", "| pool | GPU | bought | nodes | free | node price |"]
    lines += ["|---|---|---|---:|---|---:|", *(markdown_row(*_pool_row(pool)) for pool in snapshot.pools)]
    return "\n".join(lines) + "\n"
