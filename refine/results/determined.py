"""What the data determine, as result.json has it."""

from __future__ import annotations

from pydantic import FiniteFloat

from refine.results.record import Count, Number, Record


class DeterminedData(Record):
    """How many directions of the correction a data set determines, alone and beyond all others."""

    name: str
    points: Count = None
    alone: Number = None
    adds: Number = None
    nyquist: Number = None


class DeterminedPair(Record):
    """Share of the prior variance of phi(r) that the data removed; term 1 is the change with temperature."""

    pair: tuple[str, str]
    term: int = 0
    r: list[FiniteFloat]
    share: list[Number]
    decided: list[tuple[FiniteFloat, FiniteFloat]] = []
    amplitude_eV: Number = None
    at_limit: tuple[FiniteFloat, FiniteFloat] | None = None

    @property
    def name(self) -> str:
        """Fe–O, or what of it."""
        return "–".join(self.pair) + (", change with temperature" if self.term else "")


class Combination(Record):
    """Changes of phi in these proportions of pairs (and terms), and how many of them the data determine."""

    weights: list[FiniteFloat]
    directions: Number = None


class Tension(Record):
    """How far a data set lies from what another one (None: all others) says of the correction (`sigma`), and both from
    what was found (`together`)."""

    data: str
    given: str | None = None
    chi2: Number = None
    points: Count = None
    sigma: Number = None
    together: Number = None


class Determination(Record):
    """What the data determine; see `refine.refinement.inference.identifiability`."""

    parameters: Count = None
    directions: Number = None
    singular_values: list[FiniteFloat] = []
    data: list[DeterminedData] = []
    pairs: list[DeterminedPair] = []
    tension: list[Tension] = []
    combinations: list[Combination] = []
