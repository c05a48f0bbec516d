"""What `refine compare` found, as its page and its tables read it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


ON_THE_PAGE = ("No first peak", "No diffusion coefficient")
"""How notes begin that are on something that the terminal does not show."""


@dataclass(frozen=True)
class Curve:
    """D(r) of one data set on the points of R_chi: T(r) - 4 pi rho0 r, Faber-Ziman normalised; r in Å, (n,) each.

    measured: None for a prediction.
    """

    r: Array
    measured: Array | None
    model: Array
    stderr: Array


@dataclass(frozen=True)
class FirstPeak:
    """Of T(r)/(4 pi rho0 r): positions in Å; what was measured is None for a prediction."""

    position: float
    position_stderr: float
    height: float
    height_stderr: float
    measured_position: float | None
    measured_height: float | None


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        label: its name.
        failure: why it could not be sampled; None where it was.
        theory: level of theory of the energies that it was fitted to; None where that is not known or there is none.
        r_chi: {data set: (value, standard error)}.
        scales: {data set: (value, standard error)} where the study leaves the scale free; in r_chi, peaks and curves.
        peaks: {data set: its first peak}.
        numbers: {measured number: quantity, state, unit, measured, sigma, value and stderr of the model, sigmas between
            them}.
        coordination: {state: numbers within the first minimum of the model's own g(r)}.
        diffusion: {state: D of each species in 1e-9 m^2/s}, from trajectories without a thermostat.
        viscosity: {state: that of the model in mPa s}, from the same (`refine.sampling.viscosity.Viscosity`).
        density: {state: that of the model at the pressure of the state}, from a stage at constant pressure
            (`refine.tasks.density`); the other numbers are those of the study's density.
        notes: what could not be said, in words.
        curves: {data set: D(r)}.
    """

    label: str
    failure: str | None = None
    theory: str | None = None
    r_chi: dict[str, tuple[float, float]] = field(default_factory=dict)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    peaks: dict[str, FirstPeak] = field(default_factory=dict)
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    coordination: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    diffusion: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    viscosity: dict[str, dict[str, Any]] = field(default_factory=dict)
    density: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranking:
    """What `refine compare` found: rows sorted by the mean R_chi of the data sets, models that failed last.

    data: names of the measured curves.  predicted: of the curves that nothing is compared with.
    """

    title: str
    data: tuple[str, ...]
    predicted: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def failed(self) -> tuple[Row, ...]:
        """Models that could not be sampled."""
        return tuple(row for row in self.rows if row.failure is not None)

    def to_json(self) -> str:
        """Everything but the curves, which are tables of their own."""
        rows = [{k: v for k, v in asdict(row).items() if k != "curves"} for row in self.rows]
        table = {"title": self.title, "data": self.data, "predicted": self.predicted, "models": rows}
        return json.dumps(table, indent=1, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """Plain text for a terminal."""
        lines = []
        for row in self.rows:
            scores = ", ".join(f"{name} {value_words(*score)}" for name, score in row.r_chi.items())
            words = f"R_chi {scores}" if scores else "predicted, nothing to compare with"
            label = row.label if row.theory is None else f"{row.label} ({row.theory})"
            lines.append(f"{label}: " + (words if row.failure is None else f"failed: {row.failure}"))
            lines += [
                f"  {name}: {n['quantity']} {value_words(n['value'], n['stderr'])} {n['unit']}, measured "
                f"{value_words(n['measured'], n['sigma'])}, {n['sigmas']:+.1f} sigma"
                for name, n in row.numbers.items()
            ]
            lines += [
                f"  {state}: {words} at {d['pressure_GPa']:g} GPa, {ratio} of the study's density"
                for state, d in row.density.items()
                for words, ratio in [density_words(d)]
            ]
            lines += [f"  note: {note}" for note in row.notes if not note.startswith(ON_THE_PAGE)]
        return "\n".join(lines)


def density_words(density: dict[str, Any]) -> tuple[str, str]:
    """A density of `Row` in both units, and in that of the study."""
    both = [
        f"{value_words(density[key], density[key + '_stderr'])} {unit}"
        for key, unit in (("number_density_atoms_per_A3", "atoms/Å^3"), ("mass_density_g_per_cm3", "g/cm^3"))
    ]
    return ", ".join(both), value_words(density["ratio_to_study"], density["ratio_to_study_stderr"])


def value_words(value: float, error: float) -> str:
    """Value and error, to two digits of the error.

    >>> value_words(0.01634, 0.00041)
    '0.01634 ± 0.00041'
    """
    decimals = max(0, 1 - math.floor(math.log10(error))) if error > 0.0 and math.isfinite(error) else 4
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
