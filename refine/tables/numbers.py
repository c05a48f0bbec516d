"""Numbers that a study file may write: finite ones, and those that can be weighed against others."""

from __future__ import annotations

import sys
from typing import TypeGuard

from pydantic_core import PydanticCustomError

LEAST, MOST = 1e-12, 1e12
"""Of errors, weights and priors: numbers beyond are none that 16 digits could weigh against the others."""

LEAST_SMOOTH = 1e-4
"""Of `smoothness`: a prior of 10,000 kT is none."""


def refusal(text: str) -> PydanticCustomError:
    """A validation error whose message is ``text`` as it stands (braces in it are no placeholders)."""
    return PydanticCustomError("study", "{text}", {"text": text})


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is one, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: object) -> bool:
    """A number that a float can hold; TOML's whole numbers may have thousands of digits."""
    return is_number(value) and -sys.float_info.max <= value <= sys.float_info.max


def weighable(*numbers: float, least: float = LEAST) -> None:
    """A refusal of numbers beyond these limits."""
    for number in numbers:
        if not least <= number <= MOST:
            raise refusal(f"should be from {least:g} to {MOST:g}")


def weighable_number(number: float) -> float:
    """The number, or a refusal: see `weighable`."""
    weighable(number)
    return number
