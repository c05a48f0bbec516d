"""Periodic images: what a small periodic box would show of the measured system (docs/theory/forward-model.md)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refine.curves.transforms import extrapolate_low_q, q_to_r_matrix
from refine.scattering.bound import BoundCurve
from refine.scattering.operator import interpolation

Array = NDArray[np.float64]

IMAGE_STEP = 0.05
"""Å between the points at which D(r) is integrated over periodic images."""


def q_as_box_shows(bound: BoundCurve) -> Array:
    """(nq, nq): from the measured S(Q) - 1 to what the periodic box would show of the measured system."""
    assert bound.q is not None
    s = _grid(bound)
    # Below the first measured Q a constant is good enough here, and far better than nothing at large r.
    q, continued = extrapolate_low_q(bound.curve.x, np.eye(len(bound.curve.x)))
    return np.asarray(np.eye(len(bound.q)) + bound.to_q @ (_images(bound, s) @ q_to_r_matrix(q, s) @ continued))


def r_as_box_shows(bound: BoundCurve) -> Array:
    """(n,) an r-space curve, in declared units, as the periodic box would show it: images of its own D(r) added.

    Images are isotropic, so they commute with the transform's Q range and window: those of a broadened D(r) are the
    broadened ones. A straight line through D(r) beyond r_max, fitted with weights r^2, is left out: it says that
    the curve is normalised wrongly, by a per cent or ten, and its images would grow with r.
    """
    curve, box, s = bound.curve, bound.box, _grid(bound)
    form = bound.form(curve.x)
    beyond = curve.x > box.r_max
    if not np.any(beyond):
        return curve.y
    d = np.divide(curve.y - form.offset, form.scale, out=np.zeros_like(curve.y), where=form.scale > 0.0)
    slope = float(curve.x[beyond] ** 3 @ d[beyond]) / float(np.sum(curve.x[beyond] ** 4))
    measured = (s > box.r_max) & (s <= curve.x[-1])
    images = _images(bound, s) @ np.where(measured, np.interp(s, curve.x, d) - slope * s, 0.0)
    return np.asarray(curve.y + form.scale * bound.uniform(curve.x) * np.interp(curve.x, box.centres, images))


def _grid(bound: BoundCurve) -> Array:
    return np.arange(0.0, 3.0 * bound.box.r_max, IMAGE_STEP)


def _images(bound: BoundCurve, s: Array) -> Array:
    """(bins, points): what periodic images add to g(r) in the box, from D(r) of the infinite system on a grid s.

    A periodic liquid has the S(Q) of the infinite one at the wave vectors that the box allows, so its g - 1 is the
    infinite one repeated on the lattice (Poisson's sum), averaged over directions

        r [g_box(r) - g(r)] = Σ_d (1 / 2d) ∫_(d-r)^(d+r) s [g(s) - 1] ds,     d = |lattice vector| > 0.

    As d >= 2 r_max, that is g beyond r_max alone, for r < r_max: nothing that the counts of a model hold. The grid
    begins at zero with equal steps; D is faded out between 2 and 3 r_max, where it is noise.
    Source: L. R. Pratt and S. W. Haan, J. Chem. Phys. 74, 1864 (1981).
    """
    box, step = bound.box, float(s[1] - s[0])
    to_integral = step * (np.tri(len(s)) - 0.5 * np.eye(len(s))) * _fade(bound, s)  # trapezoid rule, 0 to each s
    to_integral[:, 0] *= 0.5
    r = box.centres
    distances, multiplicity = np.unique(np.round(box.image_distances, 9), return_counts=True)
    windows = np.zeros((len(r), len(s)))
    for d, count in zip(distances, multiplicity, strict=True):
        windows += count / (2.0 * d) * (interpolation(s, d + r) - interpolation(s, d - r))
    images = (windows @ to_integral) / (4.0 * math.pi * box.number_density * r)[:, None]
    # The correction for the closed box, of what is counted, acts on images too.
    return np.asarray(images + box.closure @ images)


def _fade(bound: BoundCurve, s: Array) -> Array:
    """1 below 2 r_max, falling smoothly to 0 at 3 r_max, and 0 where the Q spacing no longer resolves r."""
    x = np.clip((3.0 * bound.box.r_max - s) / bound.box.r_max, 0.0, 1.0)
    resolved = True if not bound.curve.in_q_space else s < math.pi / (2.0 * bound.spacing())
    return np.where(resolved, x**2 * (3.0 - 2.0 * x), 0.0)
