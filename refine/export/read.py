"""What a finished run says: its correction and its base, from result.json and study.toml."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.bases import base_of
from refine.potentials.correction import PairCorrection
from refine.potentials.lammps import POINTS, table_radii
from refine.potentials.protocols import Base, Finished
from refine.results.refined import correction_of, errors_of, species_of, temperatures_of
from refine.results.schema import RESULT, read_summary
from refine.study.schema import StudyConfig

Array = NDArray[np.float64]


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
    parameters: Mapping[str, Mapping[str, float | None]] | None

    @property
    def about(self) -> str:
        """What the correction was fitted for, on one line: it is useless on top of anything else."""
        model, words = self.study.model, f"base {self.study.model.base!r}"
        if model.dispersion != "none":
            words += f" with {model.dispersion} dispersion"
        if refined := self.study.refinement.base_parameters:
            words += f" with the refined {', '.join(refined)} of the run's folder"
        return f"{self.study.title}: pair correction on top of {words}; useless without it."

    @property
    def radii(self) -> Array:
        """(POINTS,) Å."""
        return table_radii(self.correction.cutoff)

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
        everywhere = self.study.correction.molecules == "all"
        result = self.folder / RESULT
        return Finished(
            self.species, correction.pairs, correction.cutoff, self.parameters, result, everywhere=everywhere
        )

    def base(self, file: str | Path | None = None) -> Any:
        """The base potential with the final numbers of parameters that were refined; file: of a model, in place of the
        one that the study names."""
        return self.kind.final_potential(self.study.model, self.finished, file)

    def column(self, index: int) -> Array:
        """Standard error (POINTS,) eV of the active pair `index`; NaN where it is not known."""
        spread = self.errors[index]
        if spread is None:
            return np.full(POINTS, np.nan)
        return np.interp(self.radii, *spread, left=np.nan, right=np.nan)


def read_correction(folder: str | Path, temperature: float | None = None) -> Exported:
    """The correction that a finished run left.

    Args:
        folder: of the run.
        temperature: K; for a correction that changes with it, and only for such.

    Raises:
        InputError: no finished run, a damaged file, or a temperature that is missing or has no meaning.

    >>> read_correction("runs/nowhere")
    Traceback (most recent call last):
        ...
    refine.errors.InputError: runs/nowhere: there is no finished run; give the folder of a finished run
    """
    folder = Path(folder)
    path = folder / RESULT
    if not path.is_file():
        raise InputError("there is no finished run", where=str(folder), fix="give the folder of a finished run")
    summary = read_summary(path)
    study = read_study(folder)
    if not summary.yields_potential:
        raise InputError(f"method {study.refinement.method!r} yields no potential to export", where=str(folder))
    try:
        species, correction = species_of(summary), correction_of(summary)
    except (IndexError, ValueError) as error:
        raise _unreadable("correction", error, path) from None
    _check_temperature(temperature, temperatures_of(summary))
    if temperature is not None:
        correction = correction.at(temperature)
    return Exported(correction, species, errors_of(summary, temperature), study, folder, summary.parameters)


def read_study(folder: Path) -> StudyConfig:
    """The study of a run, from its folder; InputError where there is none."""
    path = folder / "study.toml"
    if not path.is_file():
        raise InputError("there is no study.toml of a run", where=str(folder), fix="give the folder of a finished run")
    return StudyConfig.from_toml(path)


def _unreadable(what: str, error: Exception, path: Path) -> InputError:
    return InputError(
        f"no {what} can be read from it ({error!r:.80})", where=str(path), fix="finish the run with this version"
    )


def _check_temperature(temperature: float | None, kelvins: Sequence[float]) -> None:
    """A temperature (K) is asked for where the correction changes with it, at the temperatures of the run, and else
    not."""
    if temperature is None and kelvins:
        span = f"{min(kelvins):g} to {max(kelvins):g} K"
        raise InputError("the correction changes with temperature", fix=f"give --temperature; it was fitted at {span}")
    if temperature is not None and not kelvins:
        raise InputError("the correction is the same at all temperatures", fix="leave --temperature out")
    if temperature is not None and not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature is {temperature} K; it must be above zero")
