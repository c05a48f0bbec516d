"""Published sets of parameters by name, and sets whose numbers the user fills in from the publication.

Nothing here is a guess: a set has the numbers it is known by, or none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refine.errors import InputError
from refine.potentials.classical.coulomb import Method
from refine.potentials.classical.forms import FORMS, Pairs

KCAL = 1 / 23.060548
"""eV in a kcal/mol."""

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

    @property
    def empty(self) -> bool:
        """Whether the numbers are the user's to fill in."""
        return not self.parameters


SETS: dict[str, NamedSet] = {
    "pedone-2006": NamedSet(
        "morse",
        "A. Pedone, G. Malavasi, M. C. Menziani, A. N. Cormack and U. Segre, J. Phys. Chem. B 110, 11780 (2006); "
        "cations repel each other by their charges alone",
        {"Fe2+": 1.2, "Fe3+": 1.8, "Si": 2.4, "O": -1.2},
        {
            "D": {"Fe2+-O": 0.078171, "Fe3+-O": 0.418981, "Si-O": 0.340554, "O-O": 0.042395},
            "a": {"Fe2+-O": 1.822638, "Fe3+-O": 1.620376, "Si-O": 2.006700, "O-O": 1.379316},
            "r0": {"Fe2+-O": 2.658163, "Fe3+-O": 2.382183, "Si-O": 2.100000, "O-O": 3.618701},
            "C": {"Fe2+-O": 2.0, "Fe3+-O": 2.0, "Si-O": 1.0, "O-O": 22.0},
        },
    ),
    "guillot-sator-2007": NamedSet(
        "buckingham-patched",
        "B. Guillot and N. Sator, Geochim. Cosmochim. Acta 71, 1249 (2007), from a secondary source: compare the "
        "numbers with the paper before you publish with them",
        {"Fe2+": 0.945, "Fe3+": 1.4175, "O": -0.945},
        {
            "A": {"Fe2+-O": 13032.93, "Fe3+-O": 8020.27, "O-O": 9022.79},
            "rho": {"Fe2+-O": 0.190, "Fe3+-O": 0.190, "O-O": 0.265},
            "C": {"Fe2+-O": 0.0, "Fe3+-O": 0.0, "O-O": 85.0921},
        },
    ),
    "bks": NamedSet(
        "buckingham-r24",
        "silica as jax-md has it under this name: the functions of van Beest, Kramer and van Santen with a core, "
        "charges and numbers of A. Carré, S. Ispas, J. Horbach and W. Kob, Comput. Mater. Sci. 124, 323 (2016); the "
        "numbers of 1990 are bks-1990",
        {"Si": 1.954952037, "O": -0.977476019},
        {
            "A": {"Si-Si": 0.0, "Si-O": 471671.1243 * KCAL, "O-O": 23138.64826 * KCAL},
            "rho": {"Si-Si": 1.0, "Si-O": 0.19173537, "O-O": 0.356855265},
            "C": {"Si-Si": 0.0, "Si-O": 2156.074422 * KCAL, "O-O": 1879.223108 * KCAL},
            "D": {"Si-Si": 78940848.06 * KCAL, "Si-O": 668.7557239 * KCAL, "O-O": 2605.841269 * KCAL},
        },
        "dsf",
        0.25,
        8.0,
    ),
    "bks-1990": NamedSet(
        "buckingham-patched",
        "silica, B. W. H. van Beest, G. J. Kramer and R. A. van Santen, Phys. Rev. Lett. 64, 1955 (1990)",
        {"Si": 2.4, "O": -1.2},
        {
            "A": {"Si-O": 18003.7572, "O-O": 1388.7730},
            "rho": {"Si-O": 1 / 4.87318, "O-O": 1 / 2.76000},
            "C": {"Si-O": 133.5381, "O-O": 175.0000},
        },
    ),
    "rossano-2000": NamedSet(
        "buckingham-patched",
        "S. Rossano, A. Ramos and J.-M. Delaye, J. Non-Cryst. Solids 273, 48 (2000): Born-Mayer-Huggins",
    ),
    "yang-2016": NamedSet("buckingham-patched", "Yang (2016), journal not known here: Born-Mayer-Huggins"),
    "seo-tsukihashi-2005": NamedSet(
        "buckingham-patched", "W.-G. Seo and F. Tsukihashi, Mater. Trans. 46, 1240 (2005): Born-Mayer-Huggins"
    ),
    "belashchenko-1996": NamedSet("born-mayer", "D. K. Belashchenko (1996), journal not known here: Born-Mayer"),
}
"""Sets by the name that a study has for them. The four without numbers are those of the molten-FeO comparison; their
sources are cited as far as they are known, and their form is the usual one of the authors: compare both with the paper
that you take the numbers from (another form is a base of its own, see `FORMS`)."""


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
