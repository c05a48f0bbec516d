"""What a study says of a classical base, read: a form, a named set, or forms pair by pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from refine.errors import InputError
from refine.potentials.classical.by_pair import ByPair
from refine.potentials.classical.coulomb import Coulomb, Method
from refine.potentials.classical.form import PairForm, Truncation
from refine.potentials.classical.forms import FORMS
from refine.potentials.classical.sets import SETS, filled
from refine.potentials.protocols import Pairs


def base_potential(
    name: str,
    species: tuple[str, ...],
    pairs: Pairs,
    parameters: Mapping[str, Any],
    cutoff: float,
    *,
    truncation: Truncation = "switch",
    charges: Mapping[str, float] | None = None,
    ions: Mapping[str, str] | None = None,
    coulomb: Method | Literal["none"] | None = None,
    damping: float | None = None,
    pair_forms: Mapping[str, Mapping[str, Any]] | None = None,
) -> PairForm:
    """The base potential that `[model] base` names; the arguments are the keys of [model], cutoff in Å.

    coulomb: None is "ewald" where there are charges, or what a named set was made with. InputError for what is missing,
    unknown or contradictory.

    >>> silica = base_potential("bks-1990", ("Si", "O"), (("Si", "Si"), ("Si", "O"), ("O", "O")), {}, 8.0)
    >>> silica.name, silica.coulomb.method
    ('buckingham-patched', 'ewald')
    """
    charges, ions = charges or {}, ions or {}
    for element in charges:
        if element not in species:
            raise InputError(f"{element} is no species of the system", where="[model] charges")
    if name in SETS:
        chosen = filled(name, species, pairs, ions=ions, charges=charges, parameters=parameters)
        charges, parameters, form = chosen.charges, chosen.parameters, FORMS[chosen.form]
        if coulomb in (None, chosen.coulomb):
            coulomb, damping = chosen.coulomb, chosen.damping if damping is None else damping
    elif name in FORMS:
        form = FORMS[name]
    elif name == ByPair.name:
        if not pair_forms:
            raise InputError(
                "is missing", where="[model.pairs]", fix='give "A-B" = { form = "...", ... } for each pair'
            )
    else:
        known = ", ".join((*FORMS, ByPair.name, *SETS))
        raise InputError(f"unknown base '{name}'", where="[model] base", fix=f"known: {known}")
    if ions and name not in SETS:
        raise InputError(f"{name} has no ions", where="[model] ions", fix="a named set has; give charges instead")
    if pair_forms and name != ByPair.name:
        raise InputError(f"{name} is one form for all pairs", where="[model.pairs]", fix='use base = "by-pair"')
    if parameters and name == ByPair.name:
        raise InputError("by-pair takes none", where="[model.parameters]", fix="write them into [model.pairs]")

    summed = _coulomb(species, pairs, charges, cutoff, coulomb, damping)
    if name == ByPair.name:
        return ByPair.read(pairs, pair_forms or {}, cutoff, truncation=truncation, coulomb=summed)
    return form.from_parameters(species, pairs, parameters, cutoff, truncation=truncation, coulomb=summed)


def _coulomb(
    species: tuple[str, ...],
    pairs: Pairs,
    charges: Mapping[str, float],
    cutoff: float,
    method: Method | Literal["none"] | None,
    damping: float | None,
) -> Coulomb | None:
    if damping is not None and not (charges and method == "dsf"):
        raise InputError('only charges with coulomb = "dsf" have one', where="[model] damping")
    if not charges:
        if method in ("ewald", "dsf"):
            raise InputError(f'coulomb = "{method}" needs charges', where="[model] charges", fix="give one by species")
        return None
    missing = [element for element in species if element not in charges]
    if missing:
        raise InputError(f"no charge for {', '.join(missing)}", where="[model] charges", fix="give one, or 0")
    if method == "none":
        return None
    return Coulomb.of(species, pairs, charges, cutoff, method or "ewald", damping=damping)
