"""From frames and data to the linear problem: all data sets of all states about one sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.posterior import SmoothnessPrior
from refine.refinement.inference.statistics import statistical_inefficiency
from refine.refinement.misfit.decomposition import KINDS, Decomposition, Direction
from refine.refinement.misfit.ensemble import Ensemble, column
from refine.refinement.misfit.views import Datum
from refine.refinement.responses.fluctuation import Fluctuation
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

PRIORS = {"temperature": 0.5, "density": 0.3, "scale": 0.5, "damping": 0.05, "broadening": 0.2, "truncation": 0.3}
"""Standard deviations: of temperature and truncation as a share of their values, of the others in their unit. A flat
background has the curve's rms signal."""

LARGEST_FACTOR = 10.0**1.5
"""Of the noise of data that state none, as in Gauss-Newton."""


@dataclass(frozen=True)
class LinearMisfit:
    """All data sets of all states about one sample.

    Attributes:
        data: sorted by state.
        residual, directions: as in `Decomposition`.
        factors: on the stated or estimated noise of each data set; one where it is stated.
    """

    data: tuple[Datum, ...]
    residual: Array
    directions: tuple[Direction, ...]
    ensembles: tuple[Ensemble, ...]
    states: tuple[str, ...]

    def decomposition(self, factors: Array) -> Decomposition:
        """With the measured noise of each data set times its factor."""
        measured = block_diag(
            *[d.target.covariance * f**2 / d.target.weight for d, f in zip(self.data, factors, strict=True)]
        )
        return Decomposition(
            self.residual,
            measured + self._sampling({}),
            self.directions,
            lambda x: measured + self._sampling(x),
        )

    def _sampling(self, x: dict[str, Array]) -> Array:
        """Sampling noise of y + X x, block by state."""
        blocks = []
        for s, ensemble in enumerate(self.ensembles):
            targets = [d.target for d in self.data if d.target.state == s]
            if not targets:
                continue
            y = np.hstack([t.values(ensemble.frames) for t in targets])
            weights = np.full(len(y), 1.0 / len(y))
            shift = np.zeros(len(y))
            for kind, v in ensemble.variables.items():
                if kind in x:
                    at = x[kind] if kind == "pair" else x[kind][[self._member(kind, s)]]
                    shift = shift + (v - v.mean(axis=0)) @ at
            inefficiency = statistical_inefficiency(y, ensemble.frames.replica)
            response = Fluctuation(
                y.mean(axis=0),
                np.zeros((y.shape[1], 1)),
                1.0,
                weights,
                y - y.mean(axis=0),
                -shift[:, None],
                inefficiency,
            )
            blocks.append(response.noise(np.ones(1)))
        return np.asarray(block_diag(*blocks))

    def _member(self, kind: str, state: int) -> int:
        direction = next(d for d in self.directions if d.kind == kind)
        return direction.members.index(self.states[state])

    def settled(self, rounds: int = 6) -> tuple[Decomposition, Array]:
        """The problem, and the noise factors, at least one, for which chi^2 of all directions together is as expected.

        Only data that state no errors have a factor.
        """
        factors = np.ones(len(self.data))
        misfit = self.decomposition(factors)
        lengths = np.cumsum([0, *(len(d.target.y) for d in self.data)])
        for _ in range(rounds if not all(d.target.sigma_known for d in self.data) else 0):
            full = misfit.solve(misfit.kinds)
            free = 1.0 - full.freedom / lengths[-1]
            for i, (datum, low, high) in enumerate(zip(self.data, lengths[:-1], lengths[1:], strict=True)):
                if not datum.target.sigma_known:
                    left, block = full.left[low:high], misfit.noise[low:high, low:high]
                    ratio = float(left @ np.linalg.solve(block, left)) / ((high - low) * free)
                    factors[i] = np.clip(factors[i] * np.sqrt(ratio), 1.0, LARGEST_FACTOR)
            misfit = self.decomposition(factors)
        return misfit, factors


def linearise(
    data: Sequence[Datum],
    ensembles: Sequence[Ensemble],
    states: Sequence[str],
    correction: PairCorrection,
    length: float,
) -> LinearMisfit:
    """Residual and columns of all data sets, one after the other, states in order.

    Args:
        data: fitted data sets; `target.state` indexes `ensembles` and `states`.
        correction: whose basis the pair direction has.
        length: Å, of its smoothness prior.
    """
    data = sorted(data, key=lambda d: d.target.state)
    lengths = [len(d.target.y) for d in data]
    starts = np.cumsum([0, *lengths])
    residual = np.concatenate([d.target.y - d.target.predict(ensembles[d.target.state].counts) for d in data])
    blocks: dict[str, list[tuple[str, int, Array]]] = {kind: [] for kind in KINDS}
    for datum, start in zip(data, starts[:-1], strict=True):
        ensemble = ensembles[datum.target.state]
        columns, measured = ensemble.columns(datum.view)
        columns["density"] = columns["density"] - column(measured)
        for kind, block in columns.items():
            member = states[datum.target.state] if kind in ("temperature", "density") else datum.target.name
            blocks[kind].append((member, int(start), block))
    directions = []
    for kind, parts in blocks.items():
        if not parts:
            continue
        members = tuple(dict.fromkeys(member for member, _, _ in parts)) if kind != "pair" else ()
        width = parts[0][2].shape[1] if kind == "pair" else len(members)
        matrix = np.zeros((len(residual), width))
        for member, start, block in parts:
            where = slice(None) if kind == "pair" else [members.index(member)]
            matrix[start : start + len(block), where] = block
        directions.append(
            Direction(kind, members, matrix, _root(kind, members, data, ensembles, states, correction, length))
        )
    return LinearMisfit(tuple(data), residual, tuple(directions), tuple(ensembles), tuple(states))


def _root(
    kind: str,
    members: tuple[str, ...],
    data: Sequence[Datum],
    ensembles: Sequence[Ensemble],
    states: Sequence[str],
    correction: PairCorrection,
    length: float,
) -> Array:
    """Root of the prior covariance of a kind, see `PRIORS`."""
    if kind == "pair":
        base = ensembles[0].frames
        prior = SmoothnessPrior.build(correction, base.centres, base.felt.pair_distribution(), length)
        kt = BOLTZMANN * float(np.mean([e.temperature for e in ensembles]))
        return prior.scaled_root(np.full(correction.terms * len(correction.active_pairs), kt))
    by_name = {d.target.name: d for d in data}
    if kind == "temperature":
        return np.diag([PRIORS[kind] * ensembles[list(states).index(m)].temperature for m in members])
    if kind == "background":
        sizes = []
        for member in members:
            datum = by_name[member]
            assert datum.view.background is not None
            signal = datum.target.y - datum.target.baseline
            sizes.append(float(np.sqrt(np.mean(signal**2) / np.mean(datum.view.background**2))))
        return np.diag(sizes)
    if kind == "truncation":
        return np.diag([PRIORS[kind] * float(by_name[m].view.q_max or 0.0) for m in members])
    return PRIORS[kind] * np.eye(len(members))
