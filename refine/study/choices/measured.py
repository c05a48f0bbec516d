"""What is taken of a measured curve, and how far it is trusted, where the study does not say."""

from __future__ import annotations

import numpy as np

from refine.curves.curve import Curve
from refine.curves.noise import digitised
from refine.curves.weights import Isotopes
from refine.refinement.walls import measured_onset
from refine.scattering.compared import Fit
from refine.study.choices.choice import Choice
from refine.study.choices.splines import BELOW


def first_r(curve: Curve) -> tuple[float, Choice] | None:
    """Where the fit of a partial curve in r begins, Å: `BELOW` below the onset of its g(r), as the splines do.

    Further in there are ripples of the transform and no atoms. None for other curves, and where nothing is cut.
    """
    if curve.in_q_space or curve.pair is None or curve.quantity != "g(r)":
        return None
    onset = measured_onset(curve.x, curve.y)
    low = onset - BELOW
    if not curve.x[0] < low < curve.x[-1]:
        return None
    reason = f"fitted from there on: the measured g(r) begins at {onset:.2f} Å"
    return low, Choice(f"data.{curve.name}.fit_r", round(low, 3), "Å", reason)


def sigma(curve: Curve, fit: Fit) -> Choice | None:
    """The error of points that were read off a figure; None for other curves, and where errors are stated."""
    if fit.sigma_known or not digitised(curve.x):
        return None
    value = float(np.sqrt(np.mean(np.diag(fit.covariance))))
    reason = f"{len(curve.x)} unevenly spaced points, as if read off a figure: how well they are known in between"
    return Choice(f"data.{curve.name}.sigma", float(f"{value:.2g}"), "", reason)


def isotopes(curve: Curve, stated: Isotopes) -> list[Choice]:
    """Of species whose isotope the start structure says, and the study's entry, `stated`, does not."""
    said = {name: given for name, given in curve.isotopes.items() if name not in stated}
    return [
        Choice(f"data.{curve.name}.isotopes.{name}", float(given), "", "[system] calls these atoms D")
        if isinstance(given, int)
        else Choice(f"data.{curve.name}.isotopes.{name}.2", given[2], "", "so many of these atoms [system] calls D")
        for name, given in said.items()
    ]
