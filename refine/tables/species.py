"""The kinds of value that name elements, species or pairs of them: compositions, isotopes, charges, tables by pair."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from refine.formula import D_IS_HYDROGEN, SHARES_ADD_UP, SITE, amounts_of, components_of, element_of
from refine.tables.explain import shown
from refine.tables.numbers import LEAST_SMOOTH, is_finite, is_number, refusal, weighable
from refine.tables.values import Integer, Kind, Line, Number

ELEMENTS = (
    *("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca"),
    *("Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y"),
    *("Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce"),
    *("Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir"),
    *("Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm"),
    *("Bk", "Cf"),
)
"""Symbols of the elements with a tabulated form factor (H to Cf), by atomic number."""


def _known_element(symbol: str) -> str:
    if symbol not in ELEMENTS:
        near = [] if symbol == "D" else difflib.get_close_matches(symbol.capitalize(), ELEMENTS, n=1, cutoff=0.6)
        raise refusal(_no_element(symbol) + (f"; did you mean {near[0]!r}?" if near else ""))
    return symbol


def _species_or_deuterium(name: str) -> str:
    return name if name == "D" else _known_species(name)


def _is_species(name: str) -> bool:
    """An element, or one in some of its places, "H:methyl"."""
    return name in ELEMENTS or (SITE.fullmatch(name) is not None and element_of(name) in ELEMENTS)


def _known_species(name: str) -> str:
    _known_element(element_of(name))
    if not _is_species(name):
        raise refusal("should be an element and, behind a colon, at most 20 letters, digits or _, as in H:methyl")
    return name


def _no_element(symbol: str) -> str:
    return f"is hydrogen 2; {D_IS_HYDROGEN}" if symbol == "D" else "is not a chemical element"


def _unit_of_intensity(text: str) -> str:
    if text != "atom":
        try:
            amounts = amounts_of(text)
        except ValueError:
            raise refusal('should be "atom" or a formula, as in H2O') from None
        for symbol in amounts:
            _species_or_deuterium(symbol)
    return text


def _two_elements(value: Any) -> tuple[str, str]:
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(name, str) for name in value)):
        raise refusal('should be two element symbols, as in ["Ca", "Cl"]')
    for name in value:
        if not _is_species(name):
            raise refusal(f"names {shown(name)}, which {_no_element(name)}")
    return value[0], value[1]


def _all_or_pairs(value: Any) -> Any:
    if value == "all":
        return "all"
    if not isinstance(value, list | tuple) or not value:
        raise refusal('should be "all" or a list of pairs, as in [["Fe", "O"]]')
    pairs = tuple(_two_elements(pair) for pair in value)
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise refusal("names a pair twice")
    return pairs


def _number_or_table(value: Any) -> float | dict[str, float]:
    """A number, or a table of numbers by species ("Ar") or pair ("Fe-O")."""
    if isinstance(value, Mapping) and all(map(is_finite, value.values())):
        _refuse_twins(value)
        return {key: float(number) for key, number in value.items()}
    if is_finite(value):
        return float(value)
    raise refusal("should be a number, or a table of numbers by species or pair")


def _forms(value: Any) -> dict[str, dict[str, float | str]]:
    """Tables by pair, "Fe-O", of a form and numbers."""
    if not isinstance(value, Mapping):
        raise refusal('should be tables by pair, as in { Fe-O = { form = "morse", ... } }')
    for name, table in value.items():
        if not _is_pair(name):
            raise refusal(f"names {shown(name)}, which is no pair of elements; write Fe-O")
        if not (isinstance(table, Mapping) and isinstance(table.get("form"), str)):
            raise refusal(f'has no form for {name}; write {{ form = "morse", ... }}')
        if not all(is_finite(number) for key, number in table.items() if key != "form"):
            raise refusal(f"has a parameter of {name} that is not a number")
    return {name: {key: x if key == "form" else float(x) for key, x in table.items()} for name, table in value.items()}


def _by_pair(value: Any) -> dict[str, float]:
    """A table of positive numbers by pair, "Fe-O"."""
    if not (isinstance(value, Mapping) and all(is_finite(number) and number > 0 for number in value.values())):
        raise refusal("should be a table of positive numbers by pair, as in { Fe-O = 2 }")
    for name in value:
        if not _is_pair(name):
            raise refusal(f"names {shown(name)}, which is no pair of elements; write Fe-O")
    _refuse_twins(value)
    return {name: float(number) for name, number in value.items()}


def _intramolecular(value: Any) -> dict[str, float | tuple[float, float]]:
    """A table of widths, or of distances and widths, by pair."""
    if not isinstance(value, Mapping):
        raise refusal("should be a table by pair, as in { O-H = [0.98, 0.07] }")
    found: dict[str, float | tuple[float, float]] = {}
    for name, given in value.items():
        if not _is_pair(name):
            raise refusal(f"names {shown(name)}, which is no pair of elements; write O-H")
        numbers = tuple(given) if isinstance(given, list | tuple) else (given,)
        if not (len(numbers) in (1, 2) and all(is_finite(number) and number > 0 for number in numbers)):
            raise refusal(f"should have a width, or [distance, width], for {name}, positive numbers in Å")
        if numbers[-1] > WIDEST or (len(numbers) == 2 and numbers[0] < SHARPEST * numbers[1]):
            raise refusal(f"has a width of {name} above {WIDEST} Å, or above a {SHARPEST}th of its distance")
        found[name] = float(numbers[0]) if len(numbers) == 1 else (float(numbers[0]), float(numbers[1]))
    _refuse_twins(value)
    return found


WIDEST, SHARPEST = 0.5, 5
"""Å, and in widths: no distance in a molecule is wider, and none reaches zero."""


def _is_pair(name: str) -> bool:
    species = name.split("-")
    return len(species) == 2 and all(map(_is_species, species))


def _refuse_twins(table: Mapping[str, Any]) -> None:
    """A pair that a table gives in both orders."""
    for name in table:
        turned = "-".join(reversed(name.split("-")))
        if turned != name and turned in table:
            raise refusal(f"names a pair twice, {shown(name)} and {shown(turned)}")


HEAVIEST = 300
"""Mass number."""


def _isotopes(value: Any) -> int | dict[int, float]:
    """A mass number, or shares by mass number, whose keys are text in TOML."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= HEAVIEST:
        return value
    if not isinstance(value, Mapping):
        raise refusal("should be a mass number, or shares by mass number, as in { 1 = 0.5, 2 = 0.5 }")
    if not all(re.fullmatch(r"[1-9][0-9]{0,2}", str(number)) and int(number) <= HEAVIEST for number in value):
        raise refusal("should have mass numbers as its keys, as in { 1 = 0.5, 2 = 0.5 }")
    if not all(is_number(share) and 0 <= share <= 1 for share in value.values()):
        raise refusal("should have shares from 0 to 1, as in { 1 = 0.5, 2 = 0.5 }")
    if not abs(sum(value.values()) - 1) <= SHARES_ADD_UP:
        raise refusal(f"should have shares that add up to 1; they add up to {sum(value.values()):g}")
    return {int(number): float(share) for number, share in value.items()}


def _charge(value: Any) -> int | tuple[float, float]:
    """A whole number, or a charge in e and the width of its cloud in Q, 1/Å."""
    if isinstance(value, int) and not isinstance(value, bool) and -8 <= value <= 8:
        return value
    two = isinstance(value, list | tuple) and len(value) == 2 and all(map(is_finite, value))
    if not (two and -8 <= value[0] <= 8 and 0 < value[1] <= 20):
        raise refusal("should be the whole charge of an ion, from -8 to 8, or [charge, width], as in [-0.86, 2.01]")
    return float(value[0]), float(value[1])


def _smoothness(value: Any) -> Any:
    """A positive number, "auto", or a table of positive numbers by pair."""
    if isinstance(value, Mapping):
        table = _by_pair(value)
        weighable(*table.values(), least=LEAST_SMOOTH)
        return table
    if value == "auto":
        return value
    if is_finite(value) and value > 0:
        weighable(value, least=LEAST_SMOOTH)
        return float(value)
    raise refusal('should be a positive number, "auto", or a table of positive numbers by pair')


def atoms_of(formula: str) -> dict[str, float]:
    """Atoms of each element or of D in a formula unit, as in "Ca(NO3)2": whole numbers, but of a mixture's components.

    Raises:
        PydanticCustomError: it is no such formula.

    >>> atoms_of("Ca(NO3)2")
    {'Ca': 1.0, 'N': 2.0, 'O': 6.0}
    >>> atoms_of("D2O")
    {'D': 2.0, 'O': 1.0}
    >>> atoms_of("0.25Na2O-0.75SiO2")
    {'Na': 0.5, 'O': 1.75, 'Si': 0.75}
    """
    try:
        components, amounts = components_of(formula), amounts_of(formula)
    except ValueError:
        raise refusal(NO_FORMULA) from None
    if any(re.search(r"\.|[0-9]{5}", component) for _, component in components):
        raise refusal(NO_FORMULA)
    return {element if element == "D" else _known_element(element): number for element, number in amounts.items()}


NO_FORMULA = (
    "should be a formula of elements and whole numbers, as in SiO2 or Ca(NO3)2, or a mixture of such, as in "
    "0.25Na2O-0.75SiO2"
)


def _formula(text: str) -> str:
    atoms_of(text)
    return text


Element = Annotated[str, AfterValidator(_known_species)]
"""Or a species, an element in some of its places, as in H:methyl."""
Pair = Annotated[tuple[str, str], BeforeValidator(_two_elements), Kind('`["A", "B"]`')]
Pairs = Annotated[
    Literal["all"] | tuple[tuple[str, str], ...],
    BeforeValidator(_all_or_pairs),
    Kind('`"all"` or `[["A", "B"], ...]`'),
]
Counts = Annotated[
    dict[Annotated[str, AfterValidator(_species_or_deuterium)], Annotated[Integer, Field(ge=1, le=1_000_000)]],
    Field(min_length=1),
    Kind("`{ element = count }`"),
]
Formula = Annotated[str, Field(max_length=100), AfterValidator(_formula), Kind("formula")]
Species = Annotated[tuple[Element, ...], Field(min_length=1, max_length=100), Kind("list of elements")]
Labels = Annotated[dict[Annotated[str, Field(min_length=1, max_length=80)], Element], Kind("`{ label = element }`")]
Isotopes = Annotated[
    dict[Element, Annotated[int | dict[int, float], BeforeValidator(_isotopes)]],
    Kind("`{ element = mass number }` or `{ element = { mass number = share, ... } }`"),
]
Charges = Annotated[
    dict[Element, Annotated[int | tuple[float, float], BeforeValidator(_charge)]],
    Kind("`{ element = charge }` or `{ element = [charge, width] }`"),
]
RealCharges = Annotated[dict[Element, Annotated[Number, Field(ge=-8, le=8)]], Kind("`{ element = charge }`")]
Ions = Annotated[dict[Element, Line], Kind('`{ element = "ion" }`')]
PairForms = Annotated[
    dict[str, dict[str, float | str]], BeforeValidator(_forms), Kind('`{ A-B = { form = "name", ... }, ... }`')
]
Parameters = Annotated[
    dict[str, Annotated[float | dict[str, float], BeforeValidator(_number_or_table)]],
    Kind("`{ name = number }` or `{ name = { A = number, ... } }`, also by pair, `A-B`"),
]
UnitOfIntensity = Annotated[str, AfterValidator(_unit_of_intensity), Kind('`"atom"` or a formula')]
SmoothnessByPair = Annotated[
    float | Literal["auto"] | dict[str, float],
    BeforeValidator(_smoothness),
    Kind('number, `"auto"` or `{ A-B = number, ... }`'),
]
Intramolecular = Annotated[
    dict[str, float | tuple[float, float]],
    BeforeValidator(_intramolecular),
    Kind("`{ A-B = width, ... }` or `{ A-B = [distance, width], ... }`"),
]
ByPair = Annotated[dict[str, float], BeforeValidator(_by_pair), Kind("`{ A-B = number, ... }`")]
