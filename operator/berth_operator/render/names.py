"""Names of the children of a workload, and the labels by which they find each other."""

import re
from collections.abc import Sequence

from berth_operator import labels
from berth_operator.render.hashes import BERTH_DIGITS, digest
from berth_scheduler.snapshot import Berth

_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def config_map(workload: str, revision: str) -> str:
    return f"{workload}-{revision}"


def headless_service(workload: str) -> str:
    return f"{workload}-headless"


def deployment(workload: str, revision: str, berth: str) -> str:
    """At most 40 + 1 + 8 + 1 + 5 characters: short enough for the pods' own names and for a label."""
    return f"{workload}-{revision}-{berth}"


def berths(chosen: Sequence[Berth]) -> tuple[str, ...]:
    """A short identifier of each berth: of its pool, and of all that distinguishes it where two share one."""
    by_pool = [digest(berth.pool, BERTH_DIGITS) for berth in chosen]
    return tuple(
        short
        if by_pool.count(short) == 1
        else digest(berth.model_dump(mode="json", exclude={"replicas"}), BERTH_DIGITS)
        for short, berth in zip(by_pool, chosen, strict=True)
    )


def label_value(text: str) -> str:
    """``text`` where it is a valid label value; else its valid part and a hash that keeps different texts apart."""
    if _LABEL_VALUE.fullmatch(text):
        return text
    readable = re.sub(r"[^-A-Za-z0-9_.]+", "-", text).strip("-_.")[:50].rstrip("-_.")
    return f"{readable}-{digest(text, 8)}".lstrip("-")


def child_labels(workload: str) -> dict[str, str]:
    """On every child."""
    return {labels.MANAGED_BY: labels.MANAGER, labels.APP_NAME: workload, labels.WORKLOAD: workload}


def serving_selector(workload: str, revision: str) -> dict[str, str]:
    """What a Service selects: the pods of one revision, in all its berths."""
    return {labels.REVISION: revision, labels.WORKLOAD: workload}
