"""A table whose keys follow from one of them, with a small registry of its own."""

from __future__ import annotations

import sys
import types
from typing import Annotated, Any, Literal

import pytest
from pydantic import SerializeAsAny, ValidationError

from refine.errors import InputError
from refine.tables.choice import Choice
from refine.tables.explain import input_error
from refine.tables.table import Table
from refine.tables.values import Number


class Drink(Table):
    kind: str
    litres: Number = 0.3


class Tea(Drink):
    kind: Literal["tea"] = "tea"
    minutes: Number = 4.0


class Milk(Drink):
    called = "anything white"

    fat: Number = 3.5


DRINKS = Choice(
    "kind",
    {"tea": "drinks:Tea", "milk": "drinks:Milk", "cream": "drinks:Milk"},
    default="tea",
    former={"fat": 3.5, "minutes": 4.0, "sugar": ["one"]},
)


class Order(Table):
    drink: Annotated[SerializeAsAny[Drink], DRINKS]


@pytest.fixture(autouse=True)
def drinks(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("drinks")
    module.Tea, module.Milk = Tea, Milk  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "drinks", module)


def refused(drink: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"drink": drink})
    problem = input_error(caught.value, {"drink": drink}, "order", Order)
    assert isinstance(problem, InputError)
    return str(problem)


def test_a_word_chooses_the_table() -> None:
    assert Order.model_validate({"drink": {"minutes": 3}}).drink == Tea(minutes=3)
    cream = Order.model_validate({"drink": {"kind": "cream", "fat": 20}}).drink
    assert cream == Milk(kind="cream", fat=20)
    assert Order.model_validate({"drink": Tea()}).drink == DRINKS.made() == Tea()


def test_everything_is_written_and_read_again() -> None:
    order = Order.model_validate({"drink": {"kind": "milk", "litres": 1.0}})
    assert order.model_dump() == {"drink": {"kind": "milk", "litres": 1.0, "fat": 3.5}}
    assert Order.model_validate(order.model_dump()) == order


@pytest.mark.parametrize(
    ("drink", "says"),
    [
        ({"kind": "coffee"}, "[drink] kind = 'coffee' should be 'tea', 'milk' or 'cream'"),
        ({"kind": ["tea"]}, "[drink] kind = ['tea'] should be 'tea', 'milk' or 'cream'"),
        ({"kind": "tea", "fat": 1.0}, "[drink] kind = 'tea' takes no 'fat'; anything white has it"),
        ({"kind": "milk", "minutes": 2}, "[drink] kind = 'milk' takes no 'minutes'; tea has it"),
        ({"kind": "milk", "fatt": 2}, "[drink] unknown key 'fatt'; did you mean 'fat'?"),
        ({"fat": 1.0, "minutes": "two"}, "[drink] minutes = 'two' should be a valid number"),
        ({"kind": "milk", "sugar": ["two"]}, "[drink] unknown key 'sugar'"),
        (7, "[drink] should be a table"),
    ],
)
def test_refusals(drink: Any, says: str) -> None:
    assert says in refused(drink)


def test_a_choice_without_a_default_has_to_be_made() -> None:
    class Strict(Table):
        drink: Annotated[SerializeAsAny[Drink], Choice("kind", DRINKS.entries)]

    with pytest.raises(ValidationError) as caught:
        Strict.model_validate({"drink": {}})
    assert "[drink] missing key 'kind'" in str(input_error(caught.value, {"drink": {}}, "order", Strict))


def test_keys_of_before_are_passed_over_at_their_defaults_only() -> None:
    assert Order.model_validate({"drink": {"fat": 3.5, "sugar": ["one"]}}).drink == Tea()
    assert Order.model_validate({"drink": {"fat": 3.5, "sugar": ("one",)}}).drink == Tea()
    assert "takes no 'fat'" in refused({"fat": 3.4})
    assert "takes no 'fat'" in refused({"fat": True})


def test_paths_are_relative_to_the_folder_of_the_file() -> None:
    from pathlib import Path

    order = Order.model_validate({"drink": {}})
    order.put_into(Path("somewhere"))
    assert order.drink._folder == Path("somewhere")
