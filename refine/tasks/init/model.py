"""A base model for a composition: what the user names, else a published set of parameters that covers it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from refine.errors import InputError
from refine.potentials.bases import BASES
from refine.potentials.classical.sets import SETS, NamedSet
from refine.potentials.mace.catalogue import CATALOGUE
from refine.tables.toml import toml_value

ORDER = ("pedone-2006", "guillot-sator-2007", "du-teter", "tosi-fumi-1964", "bks-1990")
"""Sets that are tried, those of many cations first."""

LENNARD_JONES = {"Ne": (0.0031, 2.74), "Ar": (0.0104, 3.40), "Kr": (0.0140, 3.65), "Xe": (0.0200, 3.98)}
"""eV and Å; N. Bernardes, Phys. Rev. 112, 1534 (1958)."""

NEUTRAL = 1e-6
"""e, of a formula unit."""


@dataclass(frozen=True)
class Chosen:
    """The lines of [model].

    lines: key, value as TOML, and where the value is from.  costly: whether its forces are, so that boxes are small.
    """

    lines: tuple[tuple[str, str, str], ...]
    costly: bool = False


def model_for(amounts: Mapping[str, float], named: str | None, folder: Path) -> Chosen:
    """The base model of a study in `folder`.

    Args:
        amounts: of the elements.
        named: a file of a MACE model or a LAMMPS input, the name of a published MACE model, or of a base of refine;
            None: what covers the elements.

    Raises:
        InputError: no such model, or none that covers the elements.

    >>> model_for({"Si": 1, "O": 2}, None, Path()).lines[0][1], model_for({"Ar": 1}, None, Path()).lines[0][1]
    ('"pedone-2006"', '"lennard-jones"')
    """
    if named is None:
        return _covering(amounts)
    names = {name: entry.key for entry in CATALOGUE for name in (entry.key, *entry.aliases)}
    if Path(named).is_file():
        from refine.tasks.init.lammps import base_of_input, is_input
        from refine.tasks.init.paths import seen_from

        if is_input(Path(named)):
            return Chosen(base_of_input(Path(named), folder))
        path = ("path", toml_value(seen_from(folder, Path(named))), "--model")
        return Chosen((("base", '"mace"', "a file of a model"), path), costly=True)
    if named in names:
        return Chosen((("base", '"mace"', "--model"), ("name", f'"{names[named]}"', "a published model")), costly=True)
    if named in SETS and not SETS[named].empty:
        found = next(_ions(SETS[named], amounts), None)
        if found is None:
            raise InputError(
                f"{named} has no neutral choice of ions for {', '.join(amounts)}",
                where="--model",
                fix=f"it has {', '.join(SETS[named].charges)}; use another one",
            )
        return _of_set(named, found, "--model")
    if named in BASES.entries:
        raise InputError(
            f"{named} comes without numbers",
            where="--model",
            fix="leave --model out or name a published set, and put the numbers of yours into the study afterwards",
        )
    raise InputError(
        f"no model file, published model or set is called {named[:60]!r}",
        where="--model",
        fix=f"give a file, a name of refine models list, or one of {', '.join(ORDER)}",
    )


def _covering(amounts: Mapping[str, float]) -> Chosen:
    elements = set(amounts)
    if len(elements) == 1 and elements <= LENNARD_JONES.keys():
        epsilon, sigma = LENNARD_JONES[next(iter(elements))]
        numbers = f"{{ epsilon = {epsilon:g}, sigma = {sigma:g} }}"
        source = "eV and Å: Bernardes, Phys. Rev. 112, 1534 (1958)"
        return Chosen((("base", '"lennard-jones"', "a noble gas"), ("parameters", numbers, source)))
    if elements == {"Si"}:
        return Chosen((("base", '"stillinger-weber"', "silicon"),), costly=True)
    for name in ORDER:
        found = next(_ions(SETS[name], amounts), None)
        if found is not None:
            return _of_set(name, found, "a published set that has these elements, by its numbers there")
    raise InputError(
        f"no published set of parameters covers {', '.join(amounts)}",
        where="--model",
        fix="give a MACE model, by its file or its name (refine models list), or a LAMMPS input, whose potential is "
        f"taken; or write [model] with a form and numbers of your own, see the reference. The sets: {', '.join(ORDER)}",
    )


def _of_set(name: str, ions: Mapping[str, str], why: str) -> Chosen:
    several = {element: ion for element, ion in ions.items() if len(_known(SETS[name], element)) > 1}
    lines = [("base", f'"{name}"', why)]
    if several:
        table = ", ".join(f'{element} = "{ion}"' for element, ion in several.items())
        lines.append(("ions", f"{{ {table} }}", "so that the formula is neutral"))
    return Chosen(tuple(lines))


def _known(chosen: NamedSet, element: str) -> list[str]:
    return [ion for ion in chosen.charges if re.sub(r"[0-9]*[+-]$", "", ion) == element]


def _ions(chosen: NamedSet, amounts: Mapping[str, float]) -> Iterator[dict[str, str]]:
    """Choices of an ion for each element that make the formula neutral."""
    from refine.formula import amounts_of

    if chosen.salts and not any(set(amounts_of(salt)) == set(amounts) for salt in chosen.salts):
        return
    for ions in itertools.product(*(_known(chosen, element) for element in amounts)):
        charge = sum(n * chosen.charges[ion] for n, ion in zip(amounts.values(), ions, strict=True))
        if abs(charge) < NEUTRAL * sum(amounts.values()):
            yield dict(zip(amounts, ions, strict=True))
