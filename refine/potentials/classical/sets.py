"""Published sets of parameters by name, and sets whose numbers the user fills in from the publication.

A set is a file in sets/, eV and Å. Nothing there is a guess: a set has the numbers it is known by, or none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refine.errors import InputError
from refine.formula import amounts_of, element_of
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
        salts: such parameters by formula, "NaCl", of a set whose numbers are of one substance at a time.
        coulomb, damping: how the authors, or the program that the numbers are from, sum the charges; 1/Å.
        cutoff: Å, of a damped shifted sum, whose forces depend on it at every distance; the user's takes its place.
    """

    form: str
    source: str
    charges: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    salts: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
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
        return not (self.parameters or self.salts)


SETS = {path.stem: NamedSet.read(path) for path in sorted(Path(__file__).with_suffix("").glob("*.toml"))}
"""Sets by the name that a study has for them, each from its file in sets/. The four without numbers are those of the
molten-FeO comparison, with the form that it cites them for: compare it with the paper that you take the numbers from
(another form is a base of its own, see `FORMS`)."""


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

    ions: the ion of an element, {"Fe": "Fe2+"}. An element that the set does not have is added to it by its charge and
    the parameters of its pairs. InputError for one of which there is no charge, for one with several ions of which none
    is chosen, and where numbers are missing.

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
    for element in ions:
        if element not in species:
            raise InputError(f"{element} is no species of the system", where="[model] ions")
    ion = {element: _ion(name, chosen, element, ions, charges) for element in species}
    published = _published(
        name, chosen, list(dict.fromkeys(element_of(s) for s in species if ion[s] in chosen.charges))
    )
    values: Tables = {}
    for key in (*form.scales, *form.lengths):
        table = published[key]
        own = {f"{a}-{b}": table.get(f"{ion[a]}-{ion[b]}", table.get(f"{ion[b]}-{ion[a]}")) for a, b in pairs}
        values[key] = {pair: value for pair, value in own.items() if value is not None}
    for key, given in parameters.items():
        values[key] = {**values.get(key, {}), **_ordered(given, pairs)}
    return Filled(
        chosen.form,
        {element: charges[element] if element in charges else chosen.charges[ion[element]] for element in species},
        values,
        chosen.coulomb,
        chosen.damping,
    )


def _from_the_user(
    name: str, chosen: NamedSet, species: tuple[str, ...], charges: Mapping[str, float], parameters: Mapping[str, Any]
) -> tuple[dict[str, float], Tables]:
    form = FORMS[chosen.form]
    wanted = {**form.scales, **form.lengths}
    missing = [f"{key} ({unit})" for key, unit in wanted.items() if key not in (*parameters, *form.optional)]
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


def _ion(name: str, chosen: NamedSet, element: str, ions: Mapping[str, str], charges: Mapping[str, float]) -> str:
    """As the set calls it; the element where it is the user's own."""
    known = [ion for ion in chosen.charges if re.sub(r"[0-9]*[+-]$", "", ion) == element_of(element)]
    if not known:
        form = FORMS[chosen.form]
        keys = ", ".join((*form.scales, *form.lengths))
        if element in ions:
            raise InputError(
                f"{name} has no {ions[element]}",
                where="[model] ions",
                fix=f"leave it out, and give {element} a charge in charges and {keys} of its pairs in parameters",
            )
        if element in charges:
            return element
        raise InputError(
            f"{name} has no {element}; it has {', '.join(chosen.charges)}",
            where="[model] base",
            fix=f"add it by charges = {{ {element} = ... }} and {keys} of its pairs in [model.parameters], "
            "or use another base",
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


def _published(name: str, chosen: NamedSet, elements: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    """The parameters of a set, or of its salt of these elements."""
    if not chosen.salts:
        return chosen.parameters
    for formula, parameters in chosen.salts.items():
        if set(amounts_of(formula)) == set(elements):
            return parameters
    raise InputError(
        f"{name} has one salt at a time, and none of {', '.join(elements)}: {', '.join(chosen.salts)}",
        where="[model] base",
        fix=f'use base = "{chosen.form}" with numbers of your own',
    )


def _ordered(given: Any, pairs: Pairs) -> dict[str, float]:
    """A user's table with the pairs written as the system writes them; what is none is left for the form to refuse."""
    if isinstance(given, int | float):
        return {f"{a}-{b}": float(given) for a, b in pairs}
    turned = {f"{b}-{a}": f"{a}-{b}" for a, b in pairs}
    return {turned.get(pair, pair): value for pair, value in given.items()}
