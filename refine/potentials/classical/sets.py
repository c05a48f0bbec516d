"""Published sets of parameters by name, and sets whose numbers the user fills in from the publication.

A set is a file in sets/, eV and Å. Nothing there is a guess: a set has the numbers it is known by, or none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refine.errors import InputError
from refine.potentials.classical.coulomb import Method
from refine.potentials.classical.forms import FORMS
from refine.potentials.protocols import Pairs

Tables = dict[str, dict[str, float]]


@dataclass(frozen=True)
class NamedSet:
    """A set of parameters.

    Attributes:
        form: of its pair functions, see `refine.potentials.classical.forms.FORMS`.
        source: where it was published.
        charges: by ion, "Fe2+", or by element where there is one ion of it; empty: to be filled in by the user.
        parameters: of the form, by pair of ions; pairs that are not here have Coulomb only.
        coulomb, damping: how the authors, or the program that the numbers are from, sum the charges; 1/Å.
        cutoff: Å, of a damped shifted sum, whose forces depend on it at every distance; the user's takes its place.
    """

    form: str
    source: str
    charges: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    coulomb: Method = "ewald"
    damping: float | None = None
    cutoff: float | None = None

    @classmethod
    def read(cls, path: Path) -> NamedSet:
        """From a file with the attributes as keys.

        >>> SETS["bks-1990"].charges
        {'Si': 2.4, 'O': -1.2}
        """
        return cls(**tomllib.loads(path.read_text(encoding="utf-8")))

    @property
    def empty(self) -> bool:
        """Whether the numbers are the user's to fill in."""
        return not self.parameters


SETS = {path.stem: NamedSet.read(path) for path in sorted(Path(__file__).with_suffix("").glob("*.toml"))}
"""Sets by the name that a study has for them, each from its file in sets/. The four without numbers are those of the
molten-FeO comparison; their sources are cited as far as they are known, and their form is the usual one of the authors:
compare both with the paper that you take the numbers from (another form is a base of its own, see `FORMS`)."""


@dataclass(frozen=True)
class Filled:
    """A set for the species of a system."""

    form: str
    charges: dict[str, float]
    parameters: Tables
    coulomb: Method
    damping: float | None


def filled(
    name: str,
    species: tuple[str, ...],
    pairs: Pairs,
    *,
    ions: Mapping[str, str],
    charges: Mapping[str, float],
    parameters: Mapping[str, Any],
) -> Filled:
    """The set `name` for some species. The user's charges, by element, and parameters take the place of the set's.

    ions: the ion of an element, {"Fe": "Fe2+"}. InputError for an element that the set does not have, for one with
    several ions of which none is chosen, and where numbers are missing.

    >>> pairs = (("Si", "Si"), ("Si", "O"), ("O", "O"))
    >>> bks = filled("bks-1990", ("Si", "O"), pairs, ions={}, charges={}, parameters={})
    >>> bks.form, bks.charges, bks.coulomb
    ('buckingham-patched', {'Si': 2.4, 'O': -1.2}, 'ewald')
    """
    chosen = SETS[name]
    form = FORMS[chosen.form]
    if chosen.empty:
        if ions:
            raise InputError(f"{name} has no ions", where="[model] ions", fix="give charges instead")
        return Filled(
            chosen.form, *_from_the_user(name, chosen, species, charges, parameters), chosen.coulomb, chosen.damping
        )
    ion = {element: _ion(name, chosen, element, ions) for element in species}
    for element in ions:
        if element not in species:
            raise InputError(f"{element} is no species of the system", where="[model] ions")
    values: Tables = {}
    for key in (*form.scales, *form.lengths):
        table = chosen.parameters[key]
        own = {f"{a}-{b}": table.get(f"{ion[a]}-{ion[b]}", table.get(f"{ion[b]}-{ion[a]}")) for a, b in pairs}
        values[key] = {pair: value for pair, value in own.items() if value is not None}
    for key, given in parameters.items():
        values[key] = {**values.get(key, {}), **_ordered(given, pairs)}
    return Filled(
        chosen.form,
        {element: charges.get(element, chosen.charges[ion[element]]) for element in species},
        values,
        chosen.coulomb,
        chosen.damping,
    )


def _from_the_user(
    name: str, chosen: NamedSet, species: tuple[str, ...], charges: Mapping[str, float], parameters: Mapping[str, Any]
) -> tuple[dict[str, float], Tables]:
    form = FORMS[chosen.form]
    wanted = {**form.scales, **form.lengths}
    missing = [f"{key} ({unit})" for key, unit in wanted.items() if key not in parameters]
    without = [element for element in species if element not in charges]
    if missing or without:
        gaps = [f"[model.parameters] {', '.join(missing)} by pair"] if missing else []
        gaps += [f"[model] charges of {', '.join(without)}"] if without else []
        raise InputError(
            f"{name} comes without numbers: {' and '.join(gaps)} missing",
            where="[model]",
            fix=f"fill them in from {chosen.source}",
        )
    return {element: charges[element] for element in species}, dict(parameters)


def _ion(name: str, chosen: NamedSet, element: str, ions: Mapping[str, str]) -> str:
    known = [ion for ion in chosen.charges if re.sub(r"[0-9]*[+-]$", "", ion) == element]
    if not known:
        raise InputError(
            f"{name} has no {element}; it has {', '.join(chosen.charges)}",
            where="[model] base",
            fix="use another base, or by-pair with parameters of your own",
        )
    asked = ions.get(element)
    if asked is not None and asked not in known:
        raise InputError(f"{name} has no {asked}", where="[model] ions", fix=f"{element} may be {' or '.join(known)}")
    if asked is None and len(known) > 1:
        raise InputError(
            f"{name} has {' and '.join(known)}",
            where="[model] ions",
            fix=f'say which {element} is: ions = {{ {element} = "{known[0]}" }}',
        )
    return asked or known[0]


def _ordered(given: Any, pairs: Pairs) -> dict[str, float]:
    """A user's table with the pairs written as the system writes them; what is none is left for the form to refuse."""
    if isinstance(given, int | float):
        return {f"{a}-{b}": float(given) for a, b in pairs}
    turned = {f"{b}-{a}": f"{a}-{b}" for a, b in pairs}
    return {turned.get(pair, pair): value for pair, value in given.items()}
