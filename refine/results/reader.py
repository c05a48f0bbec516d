"""What a finished run left in its output folder, read back and checked.

`read_results` takes ``result.json``, ``curves/*.csv``, ``g_r/*.csv`` and ``study.toml`` and nothing else. A number that
is not known (``null``, NaN, an empty field) is None where it stands alone and NaN where it is a point of a curve.
Whatever is missing or damaged raises `InputError` with one line.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from refine.errors import InputError

Array = NDArray[np.float64]

_RERUN = "run the study again, or restore the folder from a copy"
_CURVE_COLUMNS = ("x", "measured", "sigma", "initial", "final")


def _known(value: Any) -> Any:
    """None for a number that is not finite: JSON written by Python may hold NaN and Infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_known)]
Count = Annotated[int | None, BeforeValidator(_known)]
ByName = dict[str, Number]
Vector = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Scores(_Record):
    """Misfit of every data set at one potential, by data name. chi2 is the sum over the points, both dimensionless.

    Its errors are those that were known before the fit, and what sampling noise adds to it is taken off.
    """

    r_chi: ByName
    chi2: ByName
    points: dict[str, Count] = {}
    r_chi_stderr: ByName = {}


class Iteration(_Record):
    """One turn of the loop; what a rule does not define (a gain of IBI, say) is None."""

    iteration: int
    accepted: bool = True
    r_chi: ByName
    chi2: ByName
    frames: Count = None
    effective_sample_size: Number = None
    step_kT: Number = None
    trust_radius: Number = None
    chi2_fitted: Number = None
    chi2_fitted_stderr: Number = None
    predicted_decrease: Number = None
    actual_decrease: Number = None
    actual_decrease_error: Number = None
    gain: Number = None
    prior_amplitude_kT: Number = None
    noise_factor: Number = None
    seconds_sampling: Number = None
    seconds_solving: Number = None


class Correction(_Record):
    """phi(r) of one species pair on a grid: r in Å, phi, stderr and base in eV, lists of one length."""

    pair: tuple[str, str]
    r: list[FiniteFloat] = Field(min_length=2)
    phi: list[Number]
    stderr: list[Number] | None = None
    base: list[Number] | None = None
    sampled_r: tuple[FiniteFloat, FiniteFloat] | None = None
    state: str | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        for name in ("phi", "stderr", "base"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.r):
                raise ValueError(f"{name} has {len(values)} values for {len(self.r)} radii")
        return self

    @property
    def name(self) -> str:
        """The pair as it is written in tables and figures, Fe–O."""
        return "–".join(self.pair)

    @property
    def title(self) -> str:
        """The pair, and the state where the correction depends on temperature."""
        return self.name if self.state is None else f"{self.name}, {self.state}"


class DeterminedData(_Record):
    """How many directions of the correction a data set determines, alone and beyond all others."""

    name: str
    points: Count = None
    alone: Number = None
    adds: Number = None
    nyquist: Number = None


class DeterminedPair(_Record):
    """Share of the prior variance of phi(r) that the data removed; term 1 is the change with temperature."""

    pair: tuple[str, str]
    term: int = 0
    r: list[FiniteFloat]
    share: list[Number]
    decided: list[tuple[FiniteFloat, FiniteFloat]] = []
    at_limit: tuple[FiniteFloat, FiniteFloat] | None = None

    @property
    def name(self) -> str:
        """Fe–O, or what of it."""
        return "–".join(self.pair) + (", change with temperature" if self.term else "")


class Tension(_Record):
    """How far a data set lies from what another one (None: all others) says of the correction."""

    data: str
    given: str | None = None
    chi2: Number = None
    points: Count = None
    sigma: Number = None


class Determination(_Record):
    """What the data determine; see `refine.refinement.inference.identifiability`."""

    parameters: Count = None
    directions: Number = None
    singular_values: list[FiniteFloat] = []
    data: list[DeterminedData] = []
    pairs: list[DeterminedPair] = []
    tension: list[Tension] = []


class Coordination(_Record):
    """Mean number of `other` around one `centre` within `radius` (Å)."""

    state: str
    centre: str
    other: str
    radius: FiniteFloat
    initial: Number = None
    initial_stderr: Number = None
    final: Number = None
    final_stderr: Number = None
    posterior_stderr: Number = None


class Declared(_Record):
    """A curve as it was declared."""

    name: str
    quantity: str
    normalisation: str
    radiation: str | None = None
    pair: tuple[str, str] | None = None
    state: str


class Predicted(Declared):
    """A curve that nobody measured, as an experiment with this Q range (1/Å) and window would."""

    q_range: tuple[FiniteFloat, FiniteFloat]
    window: str


class DataSet(Declared):
    """A measured curve as it was declared and treated."""

    role: str
    points: Count = None
    sigma_source: str | None = None
    sigma_mean: Number = None
    noise_factor: Number = None
    scale: Number = None
    scale_stderr: Number = None
    background: Number = None
    background_stderr: Number = None
    fit: str | None = None
    score_r: tuple[FiniteFloat, FiniteFloat] | None = None
    source: str | None = None
    warnings: list[str] = []
    compared: str | None = None


class State(_Record):
    """A thermodynamic state that was simulated: K, atoms/Å^3, GPa; the cell in Å, edge lengths or rows of vectors."""

    name: str
    temperature: FiniteFloat
    number_density: Number = None
    atoms: int | dict[str, int] | None = None
    cell: tuple[Vector, Vector, Vector] | Vector | None = None
    pressure_GPa: Number = None
    pressure_GPa_stderr: Number = None
    mean_temperature: Number = None
    mean_temperature_stderr: Number = None


class Summary(_Record):
    """The file result.json."""

    status: str
    message: str = ""
    title: str = ""
    initial: Scores
    final: Scores
    iterations: list[Iteration]
    correction: list[Correction]
    yields_potential: bool = True
    notes: list[str] = []
    parameters: dict[str, dict[str, Number]] | None = None
    determination: Determination | None = None
    coordination: list[Coordination] = []
    data: list[DataSet] = Field(min_length=1)
    predictions: list[Predicted] = []
    states: list[State] = Field(min_length=1)
    seconds: Number = None
    provenance: dict[str, Any] = {}


@dataclass(frozen=True)
class Comparison:
    """A file curves/<data name>.csv. All arrays are (points,); x in Å or 1/Å, the others in the unit of the quantity.

    The models and ``target``, the measurement, as they are compared: as the simulation box shows them, with its range
    of r and its periodic images. They are the curves themselves where the file does not say otherwise. ``sigma`` is NaN
    where it is not known, and so is ``final_stderr``, the standard error of the final model.
    """

    x: Array
    measured: Array
    sigma: Array
    initial: Array
    final: Array
    target: Array
    final_stderr: Array


@dataclass(frozen=True)
class PredictedCurve:
    """A file curves/<name>.csv of a prediction, all (points,): x in Å or 1/Å, the others in the unit of the quantity.

    ``final_stderr`` is NaN where it is not known.
    """

    x: Array
    initial: Array
    final: Array
    final_stderr: Array


@dataclass(frozen=True)
class PairDistribution:
    """g(r) of one species pair in one state, all (bins,): r in Å, the others dimensionless.

    ``final_stderr`` is NaN where it is not known.
    """

    pair: str
    r: Array
    initial: Array
    final: Array
    final_stderr: Array


@dataclass(frozen=True)
class Results:
    """Everything a report shows. ``curves`` and ``predicted`` go by data name, ``g_r`` by the name of the state."""

    summary: Summary
    curves: dict[str, Comparison]
    predicted: dict[str, PredictedCurve]
    g_r: dict[str, list[PairDistribution]]
    study: str


def read_results(out_dir: Path) -> Results:
    """Read an output folder.

    Args:
        out_dir: the folder that ``refine run`` wrote.

    Raises:
        InputError: a file is missing, cannot be read, or does not hold what it should.
    """
    if not out_dir.is_dir():
        raise InputError("no such folder", where=str(out_dir), fix="give the folder that refine run --out wrote")
    summary = _read_summary(out_dir / "result.json")
    return Results(
        summary=summary,
        curves={data.name: _read_comparison(_inside(out_dir, "curves", data.name)) for data in summary.data},
        predicted={one.name: _read_predicted(_inside(out_dir, "curves", one.name)) for one in summary.predictions},
        g_r={state.name: _read_pair_distributions(_inside(out_dir, "g_r", state.name)) for state in summary.states},
        study=_read_text(out_dir / "study.toml"),
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("the file is missing", where=str(path), fix=_RERUN) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", where=str(path), fix=_RERUN) from None


def _read_summary(path: Path) -> Summary:
    text = _read_text(path)
    try:
        return Summary.model_validate(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error})", where=str(path), fix=_RERUN) from None
    except ValidationError as error:
        first, *others = error.errors()
        key = ".".join(map(str, first["loc"])) or "the file"
        more = f" (and {len(others)} more)" if others else ""
        raise InputError(f"{key}: {first['msg']}{more}", where=str(path), fix=_RERUN) from None


def _inside(out_dir: Path, folder: str, name: str) -> Path:
    """The table of a data set or state; its name comes from a file and must not lead out of the folder."""
    if name != Path(name).name or name in ("", ".", "..") or "\\" in name or "\0" in name:
        raise InputError(f"{name!r} cannot be the name of a file", where=str(out_dir / "result.json"), fix=_RERUN)
    return out_dir / folder / f"{name}.csv"


def _read_table(path: Path) -> dict[str, Array]:
    """Columns of a comma-separated table by the names in its first line; an empty field is NaN, save in the first."""
    reader = csv.reader(_read_text(path).splitlines())
    header = [column.strip() for column in next(reader, [])]
    rows: list[list[float]] = []
    for fields in reader:
        where = f"{path}, line {reader.line_num}"
        if len(fields) != len(header):
            raise InputError(f"{len(fields)} columns where the header has {len(header)}", where=where, fix=_RERUN)
        try:
            rows.append([float(field) if field.strip() else math.nan for field in fields])
        except ValueError as error:
            raise InputError(str(error), where=where, fix=_RERUN) from None
    if len(rows) < 2:
        raise InputError(f"{len(rows)} rows of numbers, at least 2 are needed", where=str(path), fix=_RERUN)
    table = np.array(rows, dtype=np.float64)
    table[~np.isfinite(table)] = math.nan
    if np.isnan(table[:, 0]).any():
        raise InputError(f"not every {header[0]} is a finite number", where=str(path), fix=_RERUN)
    empty = [c for k, c in enumerate(header) if c != "sigma" and np.isnan(table[:, k]).all()]
    if empty:
        raise InputError(f"no finite number in column {', '.join(empty)}", where=str(path), fix=_RERUN)
    return {column: table[:, k] for k, column in enumerate(header)}


def _read_columns(path: Path, columns: Sequence[str]) -> dict[str, Array]:
    """A table that has at least these columns."""
    table = _read_table(path)
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f"no column {', '.join(missing)}", where=str(path), fix=_RERUN)
    return table


def _read_comparison(path: Path) -> Comparison:
    table = _read_columns(path, _CURVE_COLUMNS)
    stderr = table.get("final_stderr", np.full(len(table["x"]), math.nan))
    return Comparison(
        **{name: table[name] for name in ("x", "measured", "sigma")},
        initial=table.get("initial_box", table["initial"]),
        final=table.get("final_box", table["final"]),
        target=table.get("measured_box", table["measured"]),
        final_stderr=table.get("final_box_stderr", stderr),
    )


def _read_predicted(path: Path) -> PredictedCurve:
    table = _read_columns(path, ("x", "initial", "final", "final_stderr"))
    return PredictedCurve(table["x"], table["initial"], table["final"], table["final_stderr"])


def _read_pair_distributions(path: Path) -> list[PairDistribution]:
    table = _read_table(path)
    pairs = [column.removesuffix(" final") for column in table if column.endswith(" final")]
    missing = [name for name in ("r", *(f"{pair} initial" for pair in pairs)) if name not in table]
    if missing or not pairs:
        raise InputError(f"no column {', '.join(missing) or 'A-B final'}", where=str(path), fix=_RERUN)
    return [
        PairDistribution(
            pair.replace("-", "–"),
            table["r"],
            table[f"{pair} initial"],
            table[f"{pair} final"],
            table.get(f"{pair} final stderr", np.full(len(table["r"]), math.nan)),
        )
        for pair in pairs
    ]
