"""What may be said to the chart: the keys of values.yaml, of its schema and of its README, and the operator's settings.

``python chart_values.py`` writes the settings' part of values.schema.json anew; with ``--check`` it only compares.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from berth_operator.settings import Settings
from helm import CHART

VALUES = CHART / "values.yaml"
SCHEMA = CHART / "values.schema.json"
README = CHART / "README.md"

Schema = dict[str, Any]

ELSEWHERE = ("watchNamespaces", "catalogues")
"""Settings that the chart writes itself, from values of the same name beside ``settings``."""
UNSAID = ("title", "default", "description", "format")
"""What does not decide whether a value is accepted. Defaults are the operator's; Helm must not repeat them."""
ADDED_BY_HELM = ("global",)
"""Values that every chart gets as a part of another one."""


def settings_schema() -> Schema:
    """The operator's settings as Helm checks them: in place, without references, closed against unknown keys."""
    whole = Settings.model_json_schema()
    found: Schema = _inlined({name: each for name, each in whole.items() if name != "$defs"}, whole["$defs"])
    found["properties"] = {name: each for name, each in found["properties"].items() if name not in ELSEWHERE}
    return found


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    named = {"properties": _each, "patternProperties": _each}
    return {
        key: named.get(key, _inlined)(value, definitions)
        for key, value in schema.items()
        if key not in UNSAID and not _beyond_go(key, value)
    }


def _each(properties: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """A property may be called ``title``: names are kept, whatever they are."""
    return {name: _inlined(schema, definitions) for name, schema in properties.items()}


def _beyond_go(key: str, value: Any) -> bool:
    """Helm's regular expressions know no look-around; the operator checks these when it starts."""
    return key == "pattern" and "(?" in str(value)


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(VALUES.read_text())
    return found


def schema() -> Schema:
    found: Schema = json.loads(SCHEMA.read_text())
    return found


def defaults() -> dict[str, Any]:
    """Default by dotted key; what the schema leaves open (``resources``, ``settings``) is one value."""
    return dict(_leaves(values(), schema()))


def schema_keys() -> set[str]:
    """Dotted keys that the schema describes, those that Helm adds aside."""
    described = {**schema(), "properties": {k: v for k, v in schema()["properties"].items() if k not in ADDED_BY_HELM}}
    return set(_described(described))


def documented() -> dict[str, str]:
    """Default as the README's table shows it, by dotted key."""
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \|", README.read_text(), re.MULTILINE)
    return {key: shown.strip("`") for key, shown in rows}


def _leaves(value: Mapping[str, Any], described: Schema, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        below = described["properties"].get(name, {})
        if isinstance(each, Mapping) and _is_one_of_ours(name, below):
            yield from _leaves(each, below, f"{prefix}{name}.")
        else:
            yield prefix + name, each


def _described(described: Schema, prefix: str = "") -> Iterator[str]:
    for name, below in described["properties"].items():
        if _is_one_of_ours(name, below):
            yield from _described(below, f"{prefix}{name}.")
        else:
            yield prefix + name


def _is_one_of_ours(name: str, below: Schema) -> bool:
    """A group of values of the chart; ``settings`` are the operator's, described in docs/reference."""
    return "properties" in below and name != "settings"


def main() -> int:
    current = schema()
    current["properties"]["settings"] = settings_schema()
    if "--check" not in sys.argv[1:]:
        SCHEMA.write_text(json.dumps(current, indent=2) + "\n")
    elif current != schema():
        print(f"{SCHEMA.relative_to(CHART.parents[1])} is not that of the settings: run make crds", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
