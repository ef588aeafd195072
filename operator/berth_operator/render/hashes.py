"""Hashes of what is rendered: one spelling of a value, so that equal content has equal bytes and an equal hash."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from berth_operator import labels

REVISION_DIGITS = 8
BERTH_DIGITS = 5


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces. Tuples are lists; anything that is not JSON is refused with TypeError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any, digits: int) -> str:
    """The first ``digits`` hexadecimal digits of the SHA-256 of :func:`canonical`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:digits]


def with_hash(document: Mapping[str, Any]) -> dict[str, Any]:
    """``document`` with the annotation RENDERED: the hash of all the rest of it."""
    metadata = document["metadata"]
    annotations = {**metadata.get("annotations", {}), labels.RENDERED: digest(document, 16)}
    return {**document, "metadata": {**metadata, "annotations": annotations}}
