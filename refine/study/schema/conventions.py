"""The names of a curve's conventions as kinds of value in a study file, from `refine.curves.quantities`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from refine.curves.quantities import ABSCISSAE, NORMALISATIONS, QUANTITIES, RADIATIONS, WINDOWS

if TYPE_CHECKING:  # type checkers want the names written out once more
    Quantity: TypeAlias = str
    Normalisation: TypeAlias = str
    Radiation: TypeAlias = str
    Window: TypeAlias = str
    Abscissa: TypeAlias = str
else:
    Quantity = Literal[tuple(QUANTITIES)]
    Normalisation = Literal[NORMALISATIONS]
    Radiation = Literal[RADIATIONS]
    Window = Literal[WINDOWS]
    Abscissa = Literal[ABSCISSAE]
