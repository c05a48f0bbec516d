"""The schema of result.json: what a run leaves, written, read, reported and exported through these models alone.

A number that is not known (null, NaN, an absent key) is None. The file says which `format` it is; `migrated` brings one
of an earlier version to this one, and what a later version wrote is refused.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from refine.errors import InputError
from refine.results.determined import Determination
from refine.results.record import ByName, Count, Number, Record, Vector

RESULT = "result.json"
"""The file's name in a run's folder."""

FORMAT = 2
"""Version of the file. 1: without the key, and at first without walls."""

MAX_BYTES = 2**28
"""Of the file."""

RERUN = "run the study again, or restore the folder from a copy"


class Status(StrEnum):
    """How a run ended."""

    CONVERGED = "converged"
    EXHAUSTED = "iterations-exhausted"
    UNSAMPLED = "not-sampled"
    """What was to come next could not be sampled; the answer is the best of the samples that there are."""
    NOT_IMPROVED = "not-improved"
    """The base model is the answer."""


class Scores(Record):
    """Misfit of every data set at one potential, by data name. chi2 is the sum over the points, both dimensionless.

    Its errors are those that were known before the fit, and what sampling noise adds to it is taken off.
    """

    r_chi: ByName
    chi2: ByName
    points: dict[str, Count] = {}
    r_chi_stderr: ByName = {}


class Iteration(Record):
    """One turn of the loop; what a rule does not define (a gain of IBI, say) is None.

    A rule may say more of its own; `model_extra` holds that.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    iteration: int
    accepted: bool = True
    reason: str = ""
    r_chi: ByName
    r_chi_stderr: ByName = {}
    chi2: ByName
    points: dict[str, Count] = {}
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
    noise_factors: ByName = {}
    scales: ByName = {}
    scales_stderr: ByName = {}
    backgrounds: dict[str, Number | list[Number]] = {}
    backgrounds_stderr: dict[str, Number | list[Number]] = {}
    seconds_sampling: Number = None
    seconds_solving: Number = None


class Correction(Record):
    """phi(r) of one species pair, at one temperature where it changes with it.

    On a grid: r in Å; phi, stderr and base in eV, lists of one length. And exactly, as
    `refine.potentials.correction.PairCorrection` has them: knots, core and wall in Å, coefficients in eV, stiffness in
    eV/Å^2. reference and span, K: what the temperature's change is counted from, and in.
    """

    pair: tuple[str, str]
    r: list[FiniteFloat] = Field(min_length=2)
    phi: list[Number]
    stderr: list[Number] | None = None
    base: list[Number] | None = None
    knots: list[FiniteFloat] | None = None
    coefficients: list[FiniteFloat] | None = None
    core: FiniteFloat | None = None
    wall: FiniteFloat | None = None
    stiffness: FiniteFloat | None = None
    sampled_r: tuple[FiniteFloat, FiniteFloat] | None = None
    state: str | None = None
    temperature: FiniteFloat | None = None
    reference: FiniteFloat | None = None
    span: FiniteFloat | None = None

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


class Coordination(Record):
    """Mean number of `other` around one `centre` within `radius` (Å)."""

    state: str
    centre: str
    other: str
    radius: FiniteFloat
    radius_stderr: Number = None
    initial: Number = None
    initial_stderr: Number = None
    final: Number = None
    final_stderr: Number = None
    posterior_stderr: Number = None


class Declared(Record):
    """A curve as it was declared."""

    name: str
    quantity: str
    normalisation: str
    radiation: str | None = None
    pair: tuple[str, str] | None = None
    state: str


class Predicted(Declared):
    """A curve that nobody measured, as an experiment with this Q range (1/Å; None: all Q) and window would."""

    q_range: tuple[FiniteFloat, FiniteFloat] | None
    window: str


class DataSet(Declared):
    """A measured curve as it was declared and treated.

    A background that is flat has one value; a smooth one, of waves below `background_below` (Å), an rms over the curve.
    """

    role: str
    points: Count = None
    sigma_source: str | None = None
    sigma_mean: Number = None
    noise_factor: Number = None
    scale: Number = None
    scale_stderr: Number = None
    background: Number = None
    background_stderr: Number = None
    background_below: Number = None
    background_rms: Number = None
    fit: str | None = None
    score_r: tuple[FiniteFloat, FiniteFloat] | None = None
    source: str | None = None
    warnings: list[str] = []
    compared: str | None = None


class MeasuredNumber(Record):
    """A measured number before and after.

    `stated` is what the study says was measured, in `stated_unit`; `value` and `sigma` are what follows for the
    observable that is compared, in `unit`: of a number density, zero pressure. `initial` and `final` are the model's,
    with errors of sampling and, finally, of the potential, whose share is `posterior_stderr`; `sigmas` say how far they
    are from `value`, in standard deviations of both.
    """

    name: str
    quantity: str
    state: str
    role: str
    stated: Number = None
    stated_sigma: Number = None
    stated_unit: str = ""
    value: Number = None
    sigma: Number = None
    unit: str = ""
    initial: Number = None
    initial_stderr: Number = None
    initial_sigmas: Number = None
    final: Number = None
    final_stderr: Number = None
    final_sigmas: Number = None
    posterior_stderr: Number = None


class State(Record):
    """A thermodynamic state that was simulated: K, atoms/Å^3, GPa; the cell in Å, edge lengths or rows of vectors.

    pressure_GPa is that of the answer, pressure_initial_GPa that of the base model.
    """

    name: str
    temperature: FiniteFloat
    mean_temperature: Number = None
    mean_temperature_stderr: Number = None
    number_density: Number = None
    atoms: int | dict[str, int] | None = None
    cell: tuple[Vector, Vector, Vector] | Vector | None = None
    pressure_GPa: Number = None
    pressure_GPa_stderr: Number = None
    pressure_initial_GPa: Number = None
    pressure_initial_GPa_stderr: Number = None
    schedule: list[dict[str, Any]] = []
    frames: Count = None


class Chosen(Record):
    """A number or word that the study left to refine: key as "table.key", and why it was taken."""

    key: str
    value: Number | str
    unit: str = ""
    reason: str = ""


class Replayed(Record):
    """Errors of the model on frames of one kind that were kept apart from [replay], before and after: root mean squares
    in meV per atom, meV/Å of a component, GPa of a component; None where there is no label.

    learnt, kept: numbers of frames that the loss saw, and that it did not.
    """

    kind: str
    learnt: Count = None
    kept: Count = None
    energy_initial: Number = None
    energy_final: Number = None
    forces_initial: Number = None
    forces_final: Number = None
    stress_initial: Number = None
    stress_final: Number = None


class UsedModel(Record):
    """The base model: its word in the study, and its name where that says more; `Summary.study` has its numbers.

    sha256: of the file, where the model is one.
    """

    base: str
    title: str
    dispersion: str = "none"
    sha256: str | None = None


class Summary(Record):
    """The file result.json.

    status: how it ended; message: why.
    initial, final: scores of the base model and of the answer.
    confirmed: whether the final sample came out as the linear response said, on which error bars and `determination`
        rest; where it did not, they are left out.
    notes: what a reader must know before trusting the result.
    parameters: of the base, where they were refined: by name, `initial`, `final` and, where these say too little,
        `change`.
    chosen: numbers that the study left to refine.
    replay: errors on frames kept apart, by kind; empty where none are replayed.
    seconds: of the whole run.
    model: the base model; None, and `study` empty, in files of before.
    study: the study as it was run, the tables of study.toml.
    """

    format: int = FORMAT
    status: Status
    message: str = ""
    title: str = ""
    initial: Scores
    final: Scores
    iterations: list[Iteration]
    correction: list[Correction]
    yields_potential: bool = True
    confirmed: bool = True
    parameters: dict[str, dict[str, Number]] | None = None
    notes: list[str] = []
    determination: Determination | None = None
    coordination: list[Coordination] = []
    numbers: list[MeasuredNumber] = []
    predictions: list[Predicted] = []
    data: list[DataSet] = Field(min_length=1)
    states: list[State] = Field(min_length=1)
    chosen: list[Chosen] = []
    replay: list[Replayed] = []
    seconds: Number = None
    model: UsedModel | None = None
    study: dict[str, Any] = {}
    provenance: dict[str, Any] = {}


def read_summary(path: Path) -> Summary:
    """Read result.json.

    Raises:
        InputError: it is missing, cannot be read, is larger than `MAX_BYTES`, of a later format, or damaged.
    """
    try:
        return Summary.model_validate(migrated(json.loads(read_text(path, MAX_BYTES)), path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error})", where=str(path), fix=RERUN) from None
    except ValidationError as error:
        first, *others = error.errors()
        key = ".".join(map(str, first["loc"])) or "the file"
        more = f" (and {len(others)} more)" if others else ""
        raise InputError(f"{key}: {first['msg']}{more}", where=str(path), fix=RERUN) from None


def is_result(path: Path) -> bool:
    """Whether it is a result.json, of this or an earlier format.

    >>> is_result(Path("no such file"))
    False
    """
    try:
        read_summary(path)
    except InputError:
        return False
    return True


def migrated(tree: Any, path: Path) -> Any:
    """The content of a result.json of this or an earlier format as this one has it; of a later one InputError.

    What is no table, or has no such keys, is left to the schema to refuse.

    >>> migrated({"correction": [{"core": 2.0}]}, Path("result.json"))
    {'correction': [{'core': 2.0, 'wall': 2.0}], 'format': 2}
    """
    if not isinstance(tree, dict):
        return tree
    version = tree.get("format", 1)
    if not isinstance(version, int) or version > FORMAT:
        raise InputError(
            f"format {version!r:.20} is not known here, only those to {FORMAT}",
            where=str(path),
            fix="read it with the version of refine that wrote it",
        )
    rows = tree.get("correction")
    if version == 1 and isinstance(rows, list):
        # at first the wall began where the splines end
        rows = [{**row, "wall": row.get("wall", row["core"])} if _has_core(row) else row for row in rows]
        tree = {**tree, "correction": rows}
    return {**tree, "format": FORMAT}


def _has_core(row: Any) -> bool:
    return isinstance(row, dict) and "core" in row


def read_text(path: Path, largest: int = MAX_BYTES) -> str:
    """The text of a file of the folder, of at most so many bytes."""
    try:
        if path.stat().st_size > largest:
            raise InputError(f"larger than {largest} bytes", where=str(path), fix=RERUN)
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("the file is missing", where=str(path), fix=RERUN) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", where=str(path), fix=RERUN) from None
