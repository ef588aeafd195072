"""The table that the API is held to, the models and the API server alike: ``tests/golden/api/objects.yaml``."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from berth_operator.api.v1alpha1 import GPUPool, InferenceWorkload, parse_pool, parse_workload

TABLE = Path(__file__).resolve().parents[1] / "golden" / "api" / "objects.yaml"
Object = dict[str, Any]
Problems = frozenset[tuple[str, str]]
"""Pairs of field and message."""


@dataclass(frozen=True)
class Case:
    """``refused`` is empty for an object that has to be accepted; messages are empty where each side has its own."""

    name: str
    manifest: Object
    refused: Problems

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(field for field, _ in self.refused)


def accepted() -> list[Case]:
    return _cases("accepted")


def refused_by_rule() -> list[Case]:
    return _cases("rules")


def refused_by_schema() -> list[Case]:
    return _cases("schema")


def refused_when_strict() -> list[Case]:
    return _cases("unknown")


def base(name: str) -> Object:
    """A valid object to change."""
    found: Object = merge_patch(_table()["bases"][name], {})
    return found


def parse(manifest: Object, *, strict: bool = True) -> InferenceWorkload | GPUPool:
    """By its kind; raises InvalidObject."""
    return (parse_pool if manifest["kind"] == "GPUPool" else parse_workload)(manifest, strict=strict)


def merge_patch(target: Any, patch: Any) -> Any:
    """``target`` changed by a JSON merge patch (RFC 7396): null removes."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


@cache
def _table() -> Object:
    table: Object = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return table


def _cases(section: str) -> list[Case]:
    table = _table()
    return [
        Case(
            name=row["case"],
            manifest=merge_patch(table["bases"][row["base"]], row.get("patch", {})),
            refused=_problems(row.get("refused", {})),
        )
        for row in table[section]
    ]


def _problems(refused: Any) -> Problems:
    """``{field: message or messages}``, ``[field]`` or ``field``."""
    if isinstance(refused, str):
        refused = [refused]
    if isinstance(refused, list):
        return frozenset((field, "") for field in refused)
    return frozenset(
        (field, message)
        for field, messages in refused.items()
        for message in (messages if isinstance(messages, list) else [messages])
    )
