"""Classical base potentials: sums of pair functions, with or without charges."""

from __future__ import annotations

from refine.potentials.classical.bases import BASES, base_potential
from refine.potentials.classical.forms import LennardJones, PairForm

__all__ = ["BASES", "LennardJones", "PairForm", "base_potential"]
