"""What a command line says of a sample and of the columns of its file: formulas, isotopes, columns."""

from __future__ import annotations

import math
import re

from refine.errors import InputError
from refine.formula import amounts_of, with_hydrogen


def sample_of(
    composition: str | None, isotopes: str | None
) -> tuple[dict[str, float], dict[str, int | dict[int, float]]]:
    """Amounts of the elements of --composition, and the isotopes that it and --isotopes say."""
    return _with_hydrogen(_formula(composition), _isotopes(isotopes))


def columns_of(text: str) -> list[int | str]:
    """Numbers or names; a name has no comma."""
    found = [word.strip() for word in text.split(",")]
    if len(found) not in (2, 3) or not all(found):
        raise InputError(f"{text!r} is not x,y or x,y,sigma", where="--columns", fix="write it as 1,3 or Q,S(Q)")
    return [_column(word) for word in found]


def _formula(text: str | None) -> dict[str, float]:
    try:
        return {} if text is None else amounts_of(text)
    except ValueError:
        raise InputError(
            f"{text!r} is no formula", where="--composition", fix="write it as SiO2, Fe49O51 or 0.49FeO-0.51SiO2"
        ) from None


def _isotopes(text: str | None) -> dict[str, int | dict[int, float]]:
    found: dict[str, int | dict[int, float]] = {}
    for entry in [] if text is None else text.split(","):
        match = re.fullmatch(r"\s*([A-Z][a-z]?)\s*=\s*([0-9:.+]{1,200})\s*", entry)
        number = re.fullmatch(r"\d{1,3}", match[2]) if match else None
        shares = [re.fullmatch(r"(\d{1,3}):(\d*\.?\d+|\d+\.)", part) for part in match[2].split("+")] if match else []
        if match is None or not (number or all(shares)):
            raise InputError(
                f"{entry!r} is not of the form NAME=N", where="--isotopes", fix="write it as Ar=36, or H=1:0.5+2:0.5"
            )
        found[match[1]] = int(number[0]) if number else {int(share[1]): float(share[2]) for share in shares if share}
    return found


def _with_hydrogen(
    amounts: dict[str, float], isotopes: dict[str, int | dict[int, float]]
) -> tuple[dict[str, float], dict[str, int | dict[int, float]]]:
    """A composition of elements, and the isotopes of its hydrogen: D is hydrogen 2, and beside it H is hydrogen 1.

    >>> _with_hydrogen({"H": 1.0, "D": 3.0, "O": 2.0}, {})
    ({'H': 4.0, 'O': 2.0}, {'H': {1: 0.25, 2: 0.75}})
    """
    if "D" in amounts and ("H" in isotopes or "D" in isotopes):
        raise InputError(
            "the composition has D and --isotopes names hydrogen, too",
            where="--composition",
            fix="write H in the composition, or leave hydrogen out of --isotopes",
        )
    for element in isotopes:
        if amounts and element not in amounts:
            raise InputError(
                f"{element} is not in the composition", where="--isotopes", fix=f"name {', '.join(amounts)}"
            )
    elements, hydrogen = with_hydrogen(amounts)
    return elements, isotopes if hydrogen is None else {**isotopes, "H": hydrogen}


def _column(word: str) -> int | str:
    try:
        number = float(word)
    except ValueError:
        return word
    if not number.is_integer():
        raise InputError(f"{word!r} is no whole number", where="--columns", fix="count columns from 1, or name them")
    return int(number)


def numbers_of(option: str, text: str) -> list[float]:
    """Finite numbers between commas, of an option that errors name."""
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        raise InputError(f"{text!r} is not a list of numbers", where=option, fix="separate them by commas") from None
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{text!r} has a number that is not finite", where=option)
    return numbers


def range_of(option: str, text: str) -> tuple[float, float]:
    """MIN,MAX with 0 <= MIN < MAX."""
    found = numbers_of(option, text)
    if len(found) != 2 or not 0 <= found[0] < found[1]:
        raise InputError(f"{text!r} is no range", where=option, fix="give MIN,MAX with 0 <= MIN < MAX")
    return found[0], found[1]
