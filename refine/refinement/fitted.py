"""What a rule found beside the correction: of each curve, of the step, what only it knows, and what data determine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FittedCurve:
    """What was fitted of one target together with the correction.

    Attributes:
        scale, scale_stderr: s of `refine.scattering.instrument`; 1 and 0 where it is not free.
        background, background_stderr: (k,) amplitudes of the modes of the background, in units of the declared
            quantity; empty where it is not free.
        noise_factor: on the errors that were estimated before the fit; 1 where the measurement states them.
    """

    scale: float
    scale_stderr: float
    background: Sequence[float]
    background_stderr: Sequence[float]
    noise_factor: float


@dataclass(frozen=True)
class Forecast:
    """What a rule with a linear model and a prior had said of the sample.

    Attributes:
        decrease: of chi^2 by the step that led to it; None: no step did.
        gain: share of it that came true; None likewise.
        prior_amplitude: prior standard deviation of phi for the next step, the largest of all pairs, kT.
    """

    decrease: float | None
    gain: float | None
    prior_amplitude: float


@dataclass(frozen=True)
class Fitted:
    """What `Update` says beside the next correction; a row of the iteration table.

    Attributes:
        effective_sample_size: independent frames that the update rests on.
        step: size of the change of phi, kT (`refine.refinement.steps`).
        trust_radius: limit on the next one, kT; None: the rule has none.
        curves: by the target's name; empty for rules that fit nothing of a curve together with the correction.
        forecast: None for rules that predict nothing.
        numbers: what only this rule knows, by the name that result.json has it under, which no other column may have.
    """

    effective_sample_size: float
    step: float
    trust_radius: float | None = None
    curves: Mapping[str, FittedCurve] = field(default_factory=dict)
    forecast: Forecast | None = None
    numbers: Mapping[str, float | Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class DeterminedData:
    """What one data set determines.

    Attributes:
        name, points: of the data set.
        alone, adds: directions that it determines by itself, and beyond all others together.
        nyquist: numbers of phi that its Q range could tell apart.
    """

    name: str
    points: int
    alone: float
    adds: float
    nyquist: float


@dataclass(frozen=True)
class DeterminedPair:
    """What the data determine of phi of one species pair.

    Attributes:
        pair: elements.
        term: 0: phi itself; 1: its change with temperature.
        r, share: Å, and the share of the prior variance of phi(r) that the data removed.
        decided: ranges of r, Å, that the data decided.
        amplitude_eV: prior standard deviation.
        at_limit: r, and |phi| there in prior standard deviations, where the prior holds phi back; else None.
    """

    pair: tuple[str, str]
    term: int
    r: tuple[float, ...]
    share: tuple[float, ...]
    decided: tuple[tuple[float, float], ...]
    amplitude_eV: float
    at_limit: tuple[float, float] | None


@dataclass(frozen=True)
class Combination:
    """Changes of phi that go in fixed proportions in all pairs, at every distance.

    Attributes:
        weights: of every pair and term, the largest one; in the order of `Determination.pairs`.
        directions: how many of such changes the data determine.
    """

    weights: tuple[float, ...]
    directions: float


@dataclass(frozen=True)
class Tension:
    """How far a data set lies from what others say.

    Attributes:
        data, given: names; given None: all others together.
        chi2, points: of the data set about what is predicted for it.
        sigma: standard deviations by which chi2 is too large.
        together: those by which chi^2 of both, `data` and `given`, is too large at the solution, which all data share;
            None: an earlier version did not say.
    """

    data: str
    given: str | None
    chi2: float
    points: int
    sigma: float
    together: float | None = None


@dataclass(frozen=True)
class Determination:
    """What the data determine (`refine.refinement.inference.identifiability`).

    Attributes:
        parameters: of the correction.
        directions: how many numbers of it the data determine.
        singular_values: s_k, largest first, those of any weight.
        data, pairs, tension: by data set; by pair and term; by two data sets.
        combinations: of pairs and terms, what the data see best first; as many as there are pairs and terms.
    """

    parameters: int
    directions: float
    singular_values: tuple[float, ...]
    data: tuple[DeterminedData, ...]
    pairs: tuple[DeterminedPair, ...]
    tension: tuple[Tension, ...]
    combinations: tuple[Combination, ...] = ()
