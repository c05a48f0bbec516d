"""What a diagnosis consists of: kinds of misfit with their amplitudes, first peaks, and measured numbers."""

from __future__ import annotations

from dataclasses import dataclass

CLEAR = 3.0
"""Standard deviations of chi^2 above which there is a misfit to take apart, and of a peak that counts as different."""

NAMES = {
    "temperature": "temperature shift",
    "density": "density shift",
    "scale": "scale error",
    "background": "flat background",
    "damping": "Q resolution (Qdamp^2)",
    "broadening": "broadening in r (s^2)",
    "truncation": "change of Q_max",
    "pair": "pair correction",
}
"""Kinds of direction (`refine.refinement.misfit`), in words."""


@dataclass(frozen=True)
class Amplitude:
    """How far the data move one parameter, alone and with all the others.

    Attributes:
        member: the state or data set.
        alone, alone_stderr, together, together_stderr: in `unit`.
    """

    member: str
    unit: str
    alone: float
    alone_stderr: float
    together: float
    together_stderr: float


@dataclass(frozen=True)
class Explanation:
    """One kind of direction (`refine.refinement.misfit`).

    Attributes:
        share, share_stderr: of the excess chi^2 that it explains alone; None where there is no excess.
        last, last_stderr: that it adds when all the others are in; likewise.
        chi2: left when it acts alone.
        estimates: for each state or data set; for the pair correction phi where it is largest.
        overlaps: correlation with every other kind.
    """

    kind: str
    share: float | None
    share_stderr: float | None
    last: float | None
    last_stderr: float | None
    chi2: float
    estimates: tuple[Amplitude, ...]
    overlaps: dict[str, float]


@dataclass(frozen=True)
class PeakSlope:
    """d(peak)/d(parameter): `per` one `unit` of it."""

    kind: str
    member: str
    unit: str
    height: float
    position: float


@dataclass(frozen=True)
class PeakComparison:
    """The first peak of one curve, measured and of the base model.

    Attributes:
        curve: "T(r)/(4 pi rho0 r)", or the measured Q-space quantity.
        unit: of the position.
        measured_height, ...: of the measurement; its errors are None where it states none.
        model_height, ...: of the base model, errors of its sampling.
        sigmas: (model - measured height)/error; positive: over-structured.
        sensitivities: of the model's peak.
    """

    data: str
    curve: str
    unit: str
    measured_height: float
    measured_height_stderr: float | None
    measured_position: float
    measured_position_stderr: float | None
    model_height: float
    model_height_stderr: float
    model_position: float
    model_position_stderr: float
    sigmas: float
    sensitivities: tuple[PeakSlope, ...]


@dataclass(frozen=True)
class NumberComparison:
    """A measured number beside the base model's, and what alone would make them equal, to first order.

    Attributes:
        unit: of the values.
        sigmas: (model - measured)/error.
        temperature: change of the state's temperature, K.
        correction: phi where the most probable pair correction is largest, kT, and `at` which pair and distance.
    """

    name: str
    quantity: str
    state: str
    role: str
    unit: str
    measured: float
    measured_stderr: float
    model: float
    model_stderr: float
    sigmas: float
    temperature: float
    correction: float
    at: str
