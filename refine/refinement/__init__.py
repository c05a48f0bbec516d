"""Update rules behind one signature; the study file's `method` is looked up here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

from refine.config import StudyConfig
from refine.refinement.gauss_newton import GaussNewton
from refine.refinement.ibi import IBI
from refine.refinement.problem import Rule

RULES: dict[str, Callable[[StudyConfig], Rule]] = {
    "gauss-newton": lambda c: GaussNewton(
        trust_radius=c.refinement.trust_radius,
        length=c.correction.length,
        smoothness=c.correction.smoothness,
        final_factor=c.sampling.final,
    ),
    "ibi": lambda c: IBI(damping=c.refinement.damping, final_factor=c.sampling.final),
}


def make_rule(config: StudyConfig) -> Rule:
    """The rule that [refinement] method names."""
    return RULES[config.refinement.method](config)
