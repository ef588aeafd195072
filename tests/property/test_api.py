"""Whatever is stored, reading it gives an object or its problems, never an accident."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import api_cases
from berth_operator.api.conditions import read_conditions
from berth_operator.api.v1alpha1 import InvalidObject

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=12)
    | st.sampled_from(["0", "1e400", "9" * 30, "-1", "8Gi", "..", "/", "\x00", "fp16", "Spot", "1" * 5000])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BASES = st.sampled_from(["classic", "language", "pool"])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for name, member in inside for found in places(member, (*path, name)))]


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_value(value[path[0]], path[1:], new)
    return copy


@given(base=BASES, data=st.data(), new=JSON, strict=st.booleans())
def test_any_value_anywhere_in_a_spec_is_read_or_refused(
    base: str, data: st.DataObject, new: Any, strict: bool
) -> None:
    manifest = api_cases.base(base)
    path = data.draw(st.sampled_from(places(manifest["spec"])))
    try:
        read = api_cases.parse(manifest | {"spec": with_value(manifest["spec"], path, new)}, strict=strict)
    except InvalidObject as refusal:
        assert refusal.problems
        assert all(problem.message for problem in refusal.problems)
    else:
        assert api_cases.parse(read.model_dump(mode="json", exclude_none=True)) == read


@given(base=BASES, junk=JSON)
def test_a_status_that_is_not_understood_never_hides_the_spec(base: str, junk: Any) -> None:
    manifest = api_cases.base(base)
    read = api_cases.parse(manifest | {"status": junk}, strict=False)
    assert read.spec == api_cases.parse(manifest).spec
    assert isinstance(read_conditions({"conditions": junk}), tuple)
