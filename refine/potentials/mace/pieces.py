"""How much of an evaluation is worked on at a time: what stays in a processor's cache, or fills an accelerator."""

from __future__ import annotations

import math

import jax

CONVOLUTION_CHUNK, CONTRACTION_CHUNK = 4, 32
"""Atoms worked on at a time on a CPU, where the arrays of that many stay in the cache (experiments/benchmarks/mace.py).
An accelerator takes all at once up to `ACCELERATOR_CHUNK`, which bounds the memory."""
ACCELERATOR_CHUNK = 1024
NARROW = 0.8
"""Part of the slots of a list within which the neighbours of most chunks fit: a list is as wide as the fullest atom
needs, and a skin wider."""


def at_a_time(on_cpu: int) -> int:
    """Atoms; on_cpu: on a CPU."""
    return on_cpu if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK


def narrow(slots: int) -> int:
    """Of the slots of a list, those that the convolution works through for all atoms: a multiple of eight, or all."""
    if jax.default_backend() != "cpu":
        return slots  # of the many atoms that an accelerator takes at once, one would need the others
    return min(slots, 8 * math.ceil(NARROW * slots / 8))


def in_one_pass() -> bool:
    """Whether the last layer's derivative follows on each chunk at once: a CPU's caches still have what it needs."""
    return jax.default_backend() == "cpu"
