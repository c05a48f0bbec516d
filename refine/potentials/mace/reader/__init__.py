"""MACE checkpoints in: pickles, archives and the neutral form, read without trusting them."""

from __future__ import annotations

from refine.potentials.mace.reader.checkpoint import load, read_torch

__all__ = ["load", "read_torch"]
