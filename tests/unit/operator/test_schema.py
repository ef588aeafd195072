from enum import StrEnum
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, ConfigDict, Field

from berth_operator.api.field import UNIQUE, ByteQuantity, ListOf, NotNegativeDecimal, Part
from berth_operator.api.rule import Rule
from berth_operator.api.schema import NotStructural, structural_schema

Short = Annotated[str, Field(max_length=8)]


class Colour(StrEnum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Leaf(Part):
    """A leaf of ``something``,
    on two lines."""

    name: Short
    """What it is called."""


def members(model: type[BaseModel]) -> dict[str, Any]:
    found: dict[str, Any] = structural_schema(model)["properties"]
    return found


def test_references_are_written_out_with_the_description_of_the_field_that_has_one() -> None:
    class Tree(Part):
        first: Leaf
        second: Leaf
        """The other one."""

    leaf = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"description": "What it is called.", "type": "string", "maxLength": 8}},
    }
    assert structural_schema(Tree) == {
        "type": "object",
        "required": ["first", "second"],
        "properties": {
            "first": {"description": "A leaf of something, on two lines."} | leaf,
            "second": {"description": "The other one."} | leaf,
        },
    }


def test_an_optional_field_is_just_not_required_and_has_no_null() -> None:
    class Tree(Part):
        leaf: Leaf | None = None
        count: Annotated[int, Field(ge=1)] | None = None

    schema = structural_schema(Tree)
    assert "required" not in schema
    assert schema["properties"]["count"] == {"type": "integer", "minimum": 1}
    assert "default" not in schema["properties"]["leaf"]


def test_a_constant_becomes_an_enumeration_of_one() -> None:
    class Tree(Part):
        kind: Literal["Tree"]

    assert members(Tree)["kind"] == {"type": "string", "enum": ["Tree"]}


def test_exclusive_bounds_become_flags_beside_the_bound() -> None:
    class Tree(Part):
        age: Annotated[int, Field(gt=0, lt=100)]

    assert members(Tree)["age"] == {
        "type": "integer",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 100,
        "exclusiveMaximum": True,
    }


def test_forbidden_extra_fields_leave_no_trace() -> None:
    class Tree(BaseModel):
        model_config = ConfigDict(extra="forbid")
        age: int

    assert structural_schema(Tree) == {
        "type": "object",
        "required": ["age"],
        "properties": {"age": {"type": "integer"}},
    }


def test_titles_and_examples_are_left_out() -> None:
    class Tree(BaseModel):
        age: Annotated[int, Field(title="Age of the tree", examples=[3])]

    assert members(Tree)["age"] == {"type": "integer"}


def test_a_decimal_is_an_integer_or_a_string_of_bounded_length() -> None:
    class Tree(Part):
        height: NotNegativeDecimal

    schema = members(Tree)["height"]
    assert schema == {
        "x-kubernetes-int-or-string": True,
        "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?$",
        "minimum": 0,
        "maximum": 10**12,
        "maxLength": 24,
    }


def test_a_quantity_carries_its_rule() -> None:
    class Tree(Part):
        sap: ByteQuantity | None = None

    (rule,) = members(Tree)["sap"]["x-kubernetes-validations"]
    assert rule["message"] == "must be above zero"


def test_rules_of_an_object_are_written_once_at_the_object() -> None:
    class Twig(Part):
        low: int
        high: int
        rules = (
            Rule(cel="self.low <= self.high", message="low ≤ high", holds=lambda t: t.low <= t.high, field=".low"),
        )

    class Tree(Part):
        one: Twig
        other: Twig | None = None

    rules = [{"rule": "self.low <= self.high", "message": "low ≤ high", "fieldPath": ".low"}]
    assert members(Tree)["one"]["x-kubernetes-validations"] == rules
    assert members(Tree)["other"]["x-kubernetes-validations"] == rules


def test_lists_say_how_they_are_merged() -> None:
    class Tree(Part):
        leaves: Annotated[tuple[Leaf, ...], Field(max_length=3), ListOf("map", "name")]
        colours: Annotated[tuple[Colour, ...], Field(max_length=2), UNIQUE]

    found = members(Tree)
    assert (found["leaves"]["x-kubernetes-list-type"], found["leaves"]["x-kubernetes-list-map-keys"]) == (
        "map",
        ["name"],
    )
    assert found["colours"] == {
        "type": "array",
        "maxItems": 2,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "enum": ["red", "blue"]},
    }


def test_a_default_object_is_written_without_what_is_absent() -> None:
    class Twig(Part):
        leaf: Leaf | None = None
        leaves: Annotated[tuple[Leaf, ...], Field(max_length=3)] = ()
        count: int = 2

    class Tree(Part):
        twig: Twig = Twig()

    assert members(Tree)["twig"]["default"] == {"count": 2}
    assert members(Tree)["twig"]["properties"]["count"]["default"] == 2
    assert "default" not in members(Tree)["twig"]["properties"]["leaves"]


class Recursive(BaseModel):
    child: Optional["Recursive"] = None


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Any, "no type"),
        (str, "string without maxLength"),
        (tuple[int, ...], "array without maxItems"),
        (dict[str, int], "object without maxProperties"),
        (Annotated[dict[Annotated[str, Field(max_length=3)], int], Field(max_length=3)], "propertyNames"),
        (Annotated[dict[str, Any], Field(max_length=3)], "a map of anything"),
        (float, "a float: use a decimal"),
        (tuple[int, str], "prefixItems"),
        (Annotated[set[int], Field(max_length=3)], "uniqueItems: use a tuple annotated with UNIQUE"),
        (int | Short, "a union of types"),
        (Annotated[Cat | Dog, Field(discriminator="kind")], "use optional members and a rule that says exactly one"),
        (Recursive, "Recursive contains itself"),
        (Annotated[int, Field(multiple_of=3)], "multipleOf: not known to this converter"),
        (Annotated[str, Field(max_length=3, json_schema_extra={"contentEncoding": "base64"})], "contentEncoding"),
        (Annotated[tuple[str, ...], Field(max_length=3)], r"field\[\]: string without maxLength"),
    ],
)
def test_what_a_crd_cannot_say_is_refused_with_its_field(annotation: Any, says: str) -> None:
    model = type("Model", (BaseModel,), {"__annotations__": {"field": annotation}})
    with pytest.raises(NotStructural, match=says) as refusal:
        structural_schema(model)
    assert str(refusal.value).startswith("field")


def test_a_model_with_fields_and_a_map_at_once_is_refused() -> None:
    class Tree(BaseModel):
        model_config = ConfigDict(extra="allow")
        __pydantic_extra__: dict[str, int]
        age: int

    with pytest.raises(NotStructural, match="properties and a map at once"):
        structural_schema(Tree)
