"""The forward model: a measured curve bound to a simulated box, everything that is compared as one matrix.

Every link of the chain from counts h to the declared quantity is linear and float64; docs/theory/forward-model.md
derives it, and what a small periodic box does to it:

- The fixed number of atoms is taken off the model (`Box.closure`).
- Periodic images are put on the measurement (`refine.scattering.images`). A prediction keeps them: 0.002 in g(r) near
  r_max, half the box, for 500 atoms of liquid argon.
- In Q space both sides of a comparison are brought to zero in r before r_max; the model's own S(Q), for tables and
  predictions, has g = 1 beyond r_max and the error of that cut (`Cut`).

A model's curve is a function of its own counts alone. A curve is bound to a box in `bound`, compared in Q by `in_q` and
in r by `in_r`, on `points`, with `errors`.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import block_diag

from refine.curves.curve import Curve
from refine.errors import InputError
from refine.scattering.background import Background, flat_background
from refine.scattering.bound import BoundCurve
from refine.scattering.compared import Fit, Measurement
from refine.scattering.in_q import InQ
from refine.scattering.in_r import InR
from refine.scattering.operator import CurveOperator
from refine.scattering.points import scored_r
from refine.system import Box


class ForwardModel:
    """All operators of one measured curve in one box.

    Args:
        curve: the measurement; its number density is ignored, the box decides.
        box: the simulated state.
        background: what a curve in Q may have on top of its structure; None: a flat one.

    Raises:
        InputError: the curve cannot be predicted (r-space x-ray data without a Q range, unknown species, ...).

    An ideal gas scatters with S(Q) = 1 at every Q:

    >>> from refine.system import make_system
    >>> q = np.arange(0.1, 12.0, 0.1)
    >>> flat = Curve(q, np.ones_like(q), quantity="S(Q)", composition={"Ar": 1.0})
    >>> box = Box.of(make_system({"Ar": 108}, 17.0 * np.eye(3)), np.linspace(0.0, 8.5, 86))
    >>> model = ForwardModel(flat, box).measurement((2.0, 8.0))
    >>> float(np.abs(model.shown.predict(box.ideal_counts) - 1.0).max().round(6))
    0.0
    """

    def __init__(self, curve: Curve, box: Box, background: Background | None = None) -> None:
        self.curve, self.box = curve, box
        self.bound = BoundCurve(curve, box)
        modes = (background or flat_background(curve.x)).modes
        self.compared = InQ(self.bound, modes) if curve.in_q_space else InR(self.bound)

    def measurement(self, score_r: tuple[float, float] | None) -> Measurement:
        """Tables and R_chi; `score_r` is the range of R_chi in Å (None: 1 to 10 Å, cut to the box and the data)."""
        return self.compared.measurement(scored_r(self.curve, self.box, score_r, self.bound.where))

    def fit(self, fit_q: tuple[float, float] | None, fit_r: tuple[float, float] | None) -> Fit:
        """The fitted points in Q, in r, or both (then one after the other, treated as independent).

        Args:
            fit_q, fit_r: ranges, 1/Å and Å; at least one (None, None: the whole measured range).
        """
        first, last = float(self.curve.x[0]), float(self.curve.x[-1])
        if isinstance(self.compared, InR):
            if fit_q is not None:
                raise InputError(
                    f"{self.curve.quantity} is measured in r and fit_q asks for Q",
                    where=self.bound.where,
                    fix="use fit_r",
                )
            return self.compared.fit(fit_r or (first, min(self.box.r_max, last)))
        if fit_q is None and fit_r is None:
            fit_q = (first, last)
        parts = [] if fit_q is None else [self.compared.fit(fit_q)]
        if fit_r is not None:
            parts.append(self.compared.fit_in_r(fit_r))
        return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Fit]) -> Fit:
    operators = [p.operator for p in parts]
    return Fit(
        CurveOperator(
            *(np.concatenate([getattr(o, k) for o in operators]) for k in ("x", "matrix", "constant", "baseline"))
        ),
        np.concatenate([p.values for p in parts]),
        np.asarray(block_diag(*(p.covariance for p in parts))),
        all(p.sigma_known for p in parts),
        "; ".join(p.words for p in parts),
        np.concatenate([p.background for p in parts if p.background is not None]),  # both are of one curve in Q
    )
