"""The chart under three sets of values: as it comes, with every switch off, and with every value stated."""

import os
from pathlib import Path
from typing import Any

import yaml

import cache
import helm

GOLDEN = cache.REPOSITORY / "tests" / "golden" / "chart"
NAMES = ("defaults", "minimal", "maximal")
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
CRDS = "templates/crds.yaml"
NOTES = "templates/NOTES.txt"

Object = dict[str, Any]


def values(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((GOLDEN / name / "values.yaml").read_text())
    return found


def golden(name: str) -> Path:
    return GOLDEN / name / "objects.yaml"


def rendered(stated: dict[str, Any], *, crds: bool = False) -> list[Object]:
    """The objects that the chart makes of these values, by file and in their order there."""
    return [
        each
        for path, text in sorted(helm.template(stated).items())
        if not path.endswith(NOTES) and (crds or not path.endswith(CRDS))
        for each in yaml.safe_load_all(text)
        if each
    ]


def dump(objects: list[Object]) -> str:
    """One document each, as a person reads them."""
    return yaml.safe_dump_all(objects, sort_keys=False, width=120, allow_unicode=True)


def one(objects: list[Object], kind: str, suffix: str = "") -> Object:
    """The only object of this kind, or the one whose name ends so."""
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    return found
