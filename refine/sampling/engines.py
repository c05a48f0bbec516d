"""The table of engines. An entry must pass tests/sampling/test_engines.py, which runs for every one."""

from __future__ import annotations

from refine.sampling.engine import EngineKind
from refine.sampling.jax.kind import Jax

ENGINES: dict[str, EngineKind] = {"jax": Jax()}
"""What samples, by name."""

DEFAULT_ENGINE = "jax"
