"""Symmetric contractions of mace-torch: couplings U and weights of each l."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.potentials.mace.architecture import monomials
from refine.potentials.mace.reader.modules import Module
from refine.potentials.mace.reader.reading import Reading
from refine.potentials.mace.reader.refusals import unsupported

MAX_PRODUCTS = 2**22
"""Products of message components that a coupling matrix is indexed by; published models have 4096."""


def read_contraction(model: Reading, at: str, part: Module, l: int, components: int) -> int:
    """Couplings and weights of one l; the correlation."""
    model.expect(part, "mace", "Contraction")
    lower = model.expect(part.child("weights"), "torch", "ParameterList")
    correlation = 1 + len(lower.parameters)
    if correlation > 20:
        raise part.error(f"has {correlation} orders")
    for nu in range(1, correlation + 1):
        weights = part.array("weights_max") if nu == correlation else lower.array(str(correlation - 1 - nu))
        coupling = part.array(f"U_matrix_{nu}")
        if weights.ndim != 3 or coupling.ndim < 1 or coupling.shape[-1] != weights.shape[1]:
            raise part.error(f"has weights of shape {weights.shape} for couplings of shape {coupling.shape}")
        if components**nu > MAX_PRODUCTS:
            what = f"a model with {components} components of messages to the power of {nu}"
            raise unsupported(model.root, what)
        if coupling.size != (2 * l + 1) * components**nu * weights.shape[1]:
            raise part.error(f"has couplings of shape {coupling.shape} for {components} components and l = {l}")
        full = coupling.reshape(2 * l + 1, components**nu, weights.shape[1])
        model.put(f"{at}.basis.{l}.{nu}", symmetrised(full, components, nu))
        model.put(f"{at}.product.{l}.{nu}", weights)
    return correlation


def symmetrised(coupling: NDArray[Any], components: int, degree: int) -> NDArray[np.float64]:
    """Coefficients of the monomials of a form U[m, (i, j, ...), k] x_i x_j ...: (monomials, m, k).

    All factors are components of one vector, so a monomial's coefficient is the sum over the distinct orders of its
    indices. In float64: a sum of numbers of float32 is not one.
    """
    indices = np.indices((components,) * degree, np.int32).reshape(degree, -1)
    indices.sort(axis=0)
    size = (components,) * degree
    places = np.asarray(np.ravel_multi_index(tuple(indices), size))
    order = np.argsort(places, kind="stable")
    rows = np.moveaxis(coupling, 1, 0)[order].astype(np.float64)
    known = np.ravel_multi_index(tuple(monomials(components, degree).T), size)
    starts = np.searchsorted(places[order], known)
    summed: NDArray[np.float64] = np.add.reduceat(rows, starts, axis=0)
    return summed
