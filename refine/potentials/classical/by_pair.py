"""A base potential whose pairs of species have forms of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.classical.coulomb import Coulomb
from refine.potentials.classical.form import PairForm, Truncation
from refine.potentials.classical.forms import FORMS
from refine.potentials.protocols import Array, Pairs


@dataclass(frozen=True)
class ByPair(PairForm):
    """One form for each pair of species, or none where the charges of a pair repel.

    Attributes:
        forms: (pairs,), each for its pair alone and without Coulomb, or None.
    """

    pairs: Pairs
    forms: tuple[PairForm | None, ...]
    cutoff: float
    truncation: Truncation = "switch"
    coulomb: Coulomb | None = None
    name: ClassVar[str] = "by-pair"

    @classmethod
    def read(
        cls,
        pairs: Pairs,
        tables: Mapping[str, Mapping[str, Any]],
        cutoff: float,
        *,
        truncation: Truncation,
        coulomb: Coulomb | None,
    ) -> ByPair:
        """From the study's [model.pairs]: for "A-B" the name of a form and its parameters, numbers.

        >>> tables = {"Ar-Ar": {"form": "lennard-jones", "epsilon": 0.0103, "sigma": 3.4}}
        >>> form = ByPair.read((("Ar", "Ar"),), tables, 10.0, truncation="switch", coulomb=None)
        >>> form.interacting.tolist(), form.energy([3.4 * 2 ** (1 / 6)]).round(4).tolist()
        ([True], [[-0.0103]])
        """
        rows = {name: row for row, (a, b) in enumerate(pairs) for name in (f"{a}-{b}", f"{b}-{a}")}
        forms: list[PairForm | None] = [None] * len(pairs)
        for name, table in tables.items():
            where = f'[model.pairs] "{name}"'
            if name not in rows:
                known = ", ".join(f"{a}-{b}" for a, b in pairs)
                raise InputError("is no pair of the system", where=where, fix=f"the pairs are {known}")
            if forms[rows[name]] is not None:
                raise InputError("is given twice", where=where)
            form = FORMS.get(str(table.get("form")))
            if form is None:
                raise InputError(
                    f"form {table.get('form')!r} is none", where=where, fix=f"form = one of {', '.join(FORMS)}"
                )
            row = rows[name]
            numbers = {key: value for key, value in table.items() if key != "form"}
            alone = None if coulomb is None else replace(coulomb, products=coulomb.products[row : row + 1])
            try:
                # with its charges: where a barrier is depends on them
                forms[row] = form.from_parameters(
                    pairs[row], (pairs[row],), numbers, cutoff, truncation=truncation, coulomb=alone
                )
            except InputError as error:
                key = (error.where or "").removeprefix("[model.parameters]")
                raise InputError(error.what, where=where + key, fix=error.fix) from None
        for row, (a, b) in enumerate(pairs):
            if forms[row] is None and not (coulomb is not None and coulomb.products[row] > 0.0):
                raise InputError(
                    f"{a}-{b} has no form: nothing keeps the two apart",
                    where="[model.pairs]",
                    fix=f'give it one: "{a}-{b}" = {{ form = "...", ... }}',
                )
        return cls(pairs, tuple(forms), cutoff, truncation, coulomb)

    def short(self, r: Array) -> tuple[Array, Array]:
        """Of every pair by its own form, (pairs, n) eV and eV/Å at r (n,) Å; zero for a pair that has none."""
        nothing = (np.zeros((1, len(r))),) * 2
        parts = [nothing if form is None else form.short(r) for form in self.forms]
        return np.concatenate([u for u, _ in parts]), np.concatenate([slope for _, slope in parts])

    @property
    def interacting(self) -> NDArray[np.bool_]:
        """(pairs,) whether a pair has a form."""
        return np.array([form is not None for form in self.forms])
