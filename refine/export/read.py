"""What a finished run says: its correction and its base, from result.json and study.toml."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.bases import base_of
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.potentials.lammps import POINTS
from refine.potentials.protocols import Base, Finished
from refine.study.schema import StudyConfig

Array = NDArray[np.float64]

RESULT = "result.json"

MAX_BYTES = 2**28
"""Of a result.json."""

TEMPERATURE_TOLERANCE = 1e-6
"""K within which a temperature is that of a state."""


@dataclass(frozen=True)
class Exported:
    """What a finished run says, at one temperature.

    Attributes:
        correction: without dependence on temperature.
        species: in the run's order, which gives LAMMPS types 1, 2, ...
        errors: per active pair r (n,) Å and the standard error of phi there (n,) eV, or None where it is not known.
        study: what was run.
        folder: of the run.
        parameters: of the base that were refined as well, as result.json has them; None: there are none.
    """

    correction: PairCorrection
    species: tuple[str, ...]
    errors: tuple[tuple[Array, Array] | None, ...]
    study: StudyConfig
    folder: Path
    parameters: Mapping[str, Mapping[str, float]] | None

    @property
    def about(self) -> str:
        """What the correction was fitted for, on one line: it is useless on top of anything else."""
        model, words = self.study.model, f"base {self.study.model.base!r}"
        if model.dispersion != "none":
            words += f" with {model.dispersion} dispersion"
        if own := self.study.refinement.base_parameters:
            words += f" with the refined {', '.join(own)} of the run's folder"
        return f"{self.study.title}: pair correction on top of {words}; useless without it."

    @property
    def radii(self) -> Array:
        """(POINTS,) Å."""
        cutoff = self.correction.cutoff
        return np.linspace(cutoff / POINTS, cutoff, POINTS)

    @property
    def pairs(self) -> list[tuple[int, tuple[str, str]]]:
        """Rows of the corrected pairs, and their species."""
        return [(p, self.correction.pairs[p]) for p in self.correction.active_pairs]

    @property
    def kind(self) -> Base:
        """The kind of base, with dispersion where there is any."""
        return base_of(self.study.model.base, self.study.model.dispersion)

    @property
    def finished(self) -> Finished:
        """What the base depends on besides its table in the study."""
        correction = self.correction
        return Finished(self.species, correction.pairs, correction.cutoff, self.parameters, self.folder / RESULT)

    def base(self, file: str | Path | None = None) -> Any:
        """The base potential with the final numbers of parameters that were refined; file: of a model, in place of the
        one that the study names."""
        return self.kind.finished(self.study.model, self.finished, file)

    def column(self, index: int) -> Array:
        """Standard error (POINTS,) eV of the active pair `index`; NaN where it is not known."""
        known = self.errors[index]
        if known is None:
            return np.full(POINTS, np.nan)
        return np.interp(self.radii, *known, left=np.nan, right=np.nan)


def read_correction(folder: str | Path, temperature: float | None = None) -> Exported:
    """The correction that a finished run left.

    Args:
        folder: of the run.
        temperature: K; for a correction that changes with it, and only for such.

    Raises:
        InputError: no finished run, a damaged file, or a temperature that is missing or has no meaning.
    """
    folder = Path(folder)
    path = folder / RESULT
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("larger than any result", where=str(path))
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(
            "there is no finished run", where=str(folder), fix="give the folder of a finished run"
        ) from None
    except ValueError as error:
        raise InputError(f"not JSON ({error})", where=str(path)) from None
    study = StudyConfig.from_toml(folder / "study.toml")
    try:
        if not result["yields_potential"]:
            raise InputError(f"method {study.refinement.method!r} yields no potential to export", where=str(folder))
        species = tuple(result["states"][0]["atoms"])
        if not all(re.fullmatch("[A-Z][a-z]?", symbol) for symbol in species):
            raise ValueError("a species that is no element")  # it would be written into scripts
        rows = _rows_by_temperature(result["correction"])
        return _exported(rows, species, study, temperature, folder, result.get("parameters"))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable("correction", error, path) from None


def _unreadable(what: str, error: Exception, path: Path) -> InputError:
    return InputError(
        f"no {what} can be read from it ({error!r:.80})", where=str(path), fix="finish the run with this version"
    )


def _rows_by_temperature(rows: list[dict[str, Any]]) -> dict[float | None, list[dict[str, Any]]]:
    """The correction's tables of each temperature, or of None where it is the same at all of them."""
    found: dict[float | None, list[dict[str, Any]]] = {}
    seen: dict[float, str] = {}
    for row in rows:
        kelvin = row.get("temperature")
        if kelvin is not None and seen.setdefault(kelvin, row["state"]) != row["state"]:
            continue  # a second state at the same temperature
        found.setdefault(kelvin, []).append(row)
    if not found:
        raise ValueError("no pair is corrected")
    return found


def _exported(
    rows: dict[float | None, list[dict[str, Any]]],
    species: tuple[str, ...],
    study: StudyConfig,
    temperature: float | None,
    folder: Path,
    parameters: Mapping[str, Mapping[str, float]] | None,
) -> Exported:
    known = [kelvin for kelvin in rows if kelvin is not None]
    if temperature is None and known:
        span = f"{min(known):g} to {max(known):g} K"
        raise InputError("the correction changes with temperature", fix=f"give --temperature; it was fitted at {span}")
    if temperature is not None and not known:
        raise InputError("the correction is the same at all temperatures", fix="leave --temperature out")
    if temperature is not None and not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature is {temperature} K; it must be above zero")

    first = rows[None] if temperature is None else rows[min(known)]
    coefficients = _coefficients(first)
    chosen = first
    if temperature is not None:
        low, high = min(known), max(known)
        rise = (_coefficients(rows[high]) - coefficients) / (high - low)  # phi is linear in T
        coefficients = coefficients + (temperature - low) * rise
        chosen = rows[min(known, key=lambda kelvin: abs(kelvin - temperature))]
    at_a_state = temperature is None or min(abs(temperature - kelvin) for kelvin in known) < TEMPERATURE_TOLERANCE

    pairs = tuple((a, b) for i, a in enumerate(species) for b in species[i:])
    order = [pairs.index((row["pair"][0], row["pair"][1])) for row in first]
    if order != sorted(set(order)):
        raise ValueError("pairs out of order")
    knots = first[0]["knots"]
    basis = SplineBasis(float(knots[0]), float(knots[-1]), len(knots) - 1)
    every = np.zeros((len(pairs), basis.size))
    core, wall = np.full(len(pairs), basis.r_min), np.zeros(len(pairs))
    every[order], core[order] = coefficients, [float(row["core"]) for row in first]
    wall[order] = [float(row.get("wall", row["core"])) for row in first]  # runs of before had one number for both
    active = tuple(p in order for p in range(len(pairs)))
    correction = PairCorrection(pairs, active, basis, every, core, wall, float(first[0]["stiffness"]))
    if not (np.isfinite(every).all() and np.isfinite(core).all() and np.isfinite(wall).all()):
        raise ValueError("a coefficient is not a finite number")
    errors = tuple(_errors(row) if at_a_state else None for row in chosen)
    return Exported(correction, species, errors, study, folder, parameters)


def _coefficients(rows: list[dict[str, Any]]) -> Array:
    return np.array([row["coefficients"] for row in rows], np.float64)


def _errors(row: dict[str, Any]) -> tuple[Array, Array] | None:
    if row["stderr"] is None:
        return None
    return np.array(row["r"], np.float64), np.array(row["stderr"], np.float64)
