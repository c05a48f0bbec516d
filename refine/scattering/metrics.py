"""Figures of merit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def r_chi(measured: Array, model: Array) -> float:
    """R_chi = sqrt(Σ (measured - model)^2 / Σ measured^2), dimensionless; on T(r) in this project.

    >>> round(r_chi(np.array([1.0, 2.0, 2.0]), np.array([1.0, 2.0, 2.3])), 3)
    0.1
    """
    return float(np.sqrt(np.sum((measured - model) ** 2) / np.sum(measured**2)))


def r_chi_derivative(measured: Array, model: Array) -> Array:
    """dR_chi/d model, (n,): (model - measured) / (R_chi Σ measured^2).

    >>> r_chi_derivative(np.array([3.0, 4.0]), np.array([3.0, 4.5])).round(3)
    array([0. , 0.2])
    """
    return np.asarray((model - measured) / (r_chi(measured, model) * np.sum(measured**2)))


def chi_squared(residual: Array, covariance: Array) -> float:
    """e' C^-1 e for a residual (n,) with covariance (n, n); n of them are expected when the model is right.

    >>> round(chi_squared(np.array([0.1, -0.2]), np.diag([0.01, 0.01])), 6)
    5.0
    """
    return float(residual @ np.linalg.solve(covariance, residual))
