"""Classical base potentials: sums of pair functions, with or without charges."""

from __future__ import annotations

from refine.potentials.classical.form import PairForm
from refine.potentials.classical.forms import LennardJones
from refine.potentials.classical.read import base_potential

__all__ = ["LennardJones", "PairForm", "base_potential"]
