"""The kinds of value in a study file: what pydantic checks, and the words for what it refuses.

Those that name elements are in `refine.tables.species`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, Strict, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from refine.tables.explain import shown
from refine.tables.numbers import is_finite, is_number, weighable, weighable_number
from refine.tables.numbers import refusal as refusal
from refine.tables.table import OfFile

MOST_COLUMNS = 1000
"""Of a file; a reader refuses more than it has."""


MOST_DEGREE = 20
"""Of the polynomials of a smooth background."""


class Kind:
    """Annotation: how the reference page names a kind of value."""

    def __init__(self, text: str) -> None:
        self.text = text


class OrWord:
    """Annotation of `X | Literal[word]`: a value that is neither is refused as what X refuses, in one line."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The word as it is, anything else as X has it."""

        def validate(value: Any, of_x: ValidatorFunctionWrapHandler) -> Any:
            return value if value == self.word else of_x(value)

        as_it_is = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        inner = handler.generate_schema(get_args(source)[0])
        return core_schema.no_info_wrap_validator_function(validate, inner, serialization=as_it_is)


class OrAuto(OrWord):
    """The same for the word auto."""

    def __init__(self) -> None:
        super().__init__("auto")


def _fits_a_float(value: Any) -> Any:
    if is_number(value) and not is_finite(value):
        raise refusal("should be a finite number")
    return value


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}", name):
        raise refusal("names a file of the output: use letters, digits and . _ + -, at most 80, no blank")
    return name


def _background(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    match = re.fullmatch(r"(polynomial|chebyshev):([0-9]{1,4})", value) if isinstance(value, str) else None
    if match is None:
        raise refusal('should be true, false, "polynomial:n" or "chebyshev:n"')
    if not 1 <= int(match[2]) <= MOST_DEGREE:
        raise refusal(f"the degree should be from 1 to {MOST_DEGREE}; true is a flat background")
    return value


def _resolution(value: Any) -> Any:
    parts = {"constant": value} if not isinstance(value, dict) else value
    for name, width in parts.items():
        if name not in ("constant", "proportional"):
            raise refusal(f"{name!r} is neither constant nor proportional")
        if not (is_finite(width) and 0 < width <= 1):
            raise refusal("should be a number above 0 and at most 1, or { constant = number, proportional = number }")
    if not parts:
        raise refusal("says nothing; give { constant = number } or { proportional = number }")
    return {name: float(width) for name, width in parts.items()} if isinstance(value, dict) else float(value)


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise refusal("should be text on one line, without control characters")
    return text


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= limits[0] < limits[1]:
        raise refusal("should be [low, high] with 0 <= low < high")
    return limits


def _two_numbers(value: Any) -> Any:
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))):
        raise refusal("should be [low, high], two numbers")
    return value


def _columns(value: Any) -> tuple[int | str, ...]:
    if not (isinstance(value, list | tuple) and len(value) in (2, 3)):
        raise refusal("should be [x, y] or [x, y, sigma], numbers of columns or their names")
    for column in value:
        if isinstance(column, str) and 0 < len(column.strip()) <= 200:
            continue
        if not (isinstance(column, int) and not isinstance(column, bool) and 1 <= column <= MOST_COLUMNS):
            raise refusal(f"names column {shown(column)}; count them from 1, or give the name that the file has")
    if len(set(value)) < len(value):
        raise refusal("names one column twice")
    return tuple(value)


MAX_POINTS = 20
"""Of a line of straight pieces: a study is written out with them on one line of the file."""


def _sigma(value: Any) -> Any:
    """A positive number, "auto", "file", or points (x, number) in order of x."""
    if isinstance(value, str) and value in ("auto", "file"):
        return value
    if is_finite(value) and value > 0:
        weighable(value)
        return float(value)
    if not isinstance(value, list | tuple):
        raise refusal('should be a positive number, "auto", "file", or points, as in [[1, 0.02], [20, 0.001]]')
    if not 2 <= len(value) <= MAX_POINTS:
        raise refusal(f"should have 2 to {MAX_POINTS} points [x, number]")
    for point in value:
        if not (isinstance(point, list | tuple) and len(point) == 2 and all(map(is_finite, point))):
            raise refusal("should have points of two numbers, [x, number]")
        if not (point[0] >= 0 and point[1] > 0):
            raise refusal("should have points of x >= 0 and a positive number")
    if any(after[0] <= before[0] for before, after in itertools.pairwise(value)):
        raise refusal("should have its points in order of x")
    weighable(*(number for _, number in value))
    return tuple((float(x), float(number)) for x, number in value)


def any_tables(value: Any) -> Any:
    """Tables, or none at all."""
    return () if isinstance(value, list | tuple) and not value else some_tables(value)


def some_tables(value: Any) -> Any:
    """A list of tables with one entry at least, as it is; a refusal for anything else (a validator of pydantic)."""
    if not (isinstance(value, list | tuple) and value and all(isinstance(entry, Mapping) for entry in value)):
        raise refusal("should be one table or more, each under its own [[...]] line")
    return value


Number = Annotated[float, Strict(), BeforeValidator(_fits_a_float), Kind("number")]
Weighable = Annotated[Number, Field(gt=0), AfterValidator(weighable_number)]
"""An error, a weight or the width of a prior."""
Integer = Annotated[int, Strict(), Kind("whole number")]
Switch = Annotated[bool, Strict(), Kind("`true` or `false`")]
Name = Annotated[str, AfterValidator(_file_name), Kind("name")]
Line = Annotated[str, AfterValidator(_one_line), Kind("text")]
FileName = Annotated[Line, Kind("path"), OfFile()]
FreeBackground = Annotated[
    bool | str, BeforeValidator(_background), Kind('`true`, `false`, `"polynomial:n"` or `"chebyshev:n"`')
]
Columns = Annotated[tuple[int | str, ...], BeforeValidator(_columns), Kind("`[x, y]` or `[x, y, sigma]`")]
Range = Annotated[tuple[float, float], BeforeValidator(_two_numbers), AfterValidator(_ascending), Kind("`[low, high]`")]
Resolution = Annotated[
    float | dict[str, float],
    BeforeValidator(_resolution),
    Kind("number, `{ constant = number }`, `{ proportional = number }` or both"),
]
Sigma = Annotated[
    float | Literal["auto", "file"] | tuple[tuple[float, float], ...],
    BeforeValidator(_sigma),
    Kind('number, `[[x, number], ...]`, `"auto"` or `"file"`'),
]
