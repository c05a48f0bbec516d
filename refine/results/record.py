"""What all parts of result.json are made of: tables that know their keys, and numbers that may be unknown."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FiniteFloat


def _known(value: Any) -> Any:
    """None for a number that is not finite: JSON written by Python may hold NaN and Infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_known)]
Count = Annotated[int | None, BeforeValidator(_known)]
ByName = dict[str, Number]
Vector = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class Record(BaseModel):
    """Base of all parts of the file."""

    model_config = ConfigDict(extra="ignore", frozen=True)
