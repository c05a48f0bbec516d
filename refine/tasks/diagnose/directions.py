"""Kinds of misfit in the units of tables."""

from __future__ import annotations

import numpy as np

from refine.potentials.correction import PairCorrection
from refine.refinement.misfit.decomposition import Decomposition, Solution
from refine.tasks.diagnose.findings import Amplitude, Explanation
from refine.units import BOLTZMANN


def explanation(
    misfit: Decomposition, kind: str, correction: PairCorrection, temperature: float, clear: bool
) -> Explanation:
    """One kind, in the units of tables."""
    alone, full = misfit.solve([kind]), misfit.solve(misfit.kinds)
    direction = next(d for d in misfit.directions if d.kind == kind)
    share, last = (misfit.alone(kind), misfit.last(kind)) if clear else (None, None)
    estimates = []
    if kind == "pair":
        estimates.append(_largest(correction, temperature, alone, full))
    else:
        factor, unit = shown_unit(kind)
        for i, member in enumerate(direction.members):
            numbers = (s[kind][i] * factor for s in (alone.values, alone.stderr, full.values, full.stderr))
            estimates.append(Amplitude(member, unit, *map(float, numbers)))
    return Explanation(
        kind=kind,
        share=share.value if share else None,
        share_stderr=share.stderr if share else None,
        last=last.value if last else None,
        last_stderr=last.stderr if last else None,
        chi2=alone.chi2,
        estimates=tuple(estimates),
        overlaps={other: misfit.overlap(kind, other) for other in misfit.kinds if other != kind},
    )


def _largest(correction: PairCorrection, temperature: float, alone: Solution, full: Solution) -> Amplitude:
    """phi of the pair correction, in kT, at the coefficient that stands out of its error most.

    A coefficient is the spline's value to second order in the knot spacing.
    """
    kt = BOLTZMANN * temperature
    index = int(np.argmax(np.abs(alone.values["pair"]) / alone.stderr["pair"]))
    numbers = (s["pair"][index] / kt for s in (alone.values, alone.stderr, full.values, full.stderr))
    return Amplitude(coefficient(correction, index), "kT", *map(float, numbers))


def coefficient(correction: PairCorrection, index: int) -> str:
    """What one coefficient of theta is: Ar-Ar at 4.20 Å.

    >>> from refine.potentials.correction import SplineBasis
    >>> phi = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12), stiffness=7.0)
    >>> coefficient(phi, 4)
    'Ar-Ar at 3.50 Å'
    """
    size = correction.basis.size
    block, k = divmod(index, size)
    term, active = divmod(block, len(correction.active_pairs))
    name = "-".join(correction.pairs[correction.active_pairs[active]])
    changing = ", change with temperature" if term else ""
    return f"{name} at {correction.basis.centres[k]:.2f} Å{changing}"


def shown_unit(kind: str) -> tuple[float, str]:
    """Factor and unit of a kind in tables: shares in per cent.

    >>> shown_unit("density"), shown_unit("temperature")
    ((100.0, '%'), (1.0, 'K'))
    """
    if kind in ("density", "scale"):
        return 100.0, "%"
    return 1.0, {"temperature": "K", "damping": "1/Å^2", "broadening": "Å^2", "truncation": "1/Å"}.get(kind, "")
