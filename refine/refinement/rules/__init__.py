"""Update rules behind one signature; the study file's `method` is looked up here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

from refine.refinement.problem import Rule
from refine.refinement.rules.epsr import EPSR
from refine.refinement.rules.gauss_newton import GaussNewton
from refine.refinement.rules.ibi import IBI
from refine.refinement.rules.rmc import RMC
from refine.study.schema import StudyConfig

RULES: dict[str, Callable[[StudyConfig], Rule]] = {
    "gauss-newton": lambda c: GaussNewton(
        trust_radius=c.refinement.trust_radius,
        length=c.correction.length,
        smoothness=c.correction.smoothness,
        final_factor=c.sampling.final,
        pooling=c.refinement.pooling,
    ),
    "ibi": lambda c: IBI(damping=c.refinement.damping, final_factor=c.sampling.final, pressure=c.refinement.pressure),
    "difftre": lambda c: _difftre(c),
    "backprop": lambda c: _backprop(c),
    "epsr": lambda c: EPSR(
        feedback=c.refinement.feedback,
        confidence=c.refinement.confidence,
        cap=c.refinement.cap,
        final_factor=c.sampling.final,
    ),
    "rmc": lambda c: RMC(minimum_distances=c.refinement.minimum_distances, final_factor=c.sampling.final),
}


def _difftre(c: StudyConfig) -> Rule:
    from refine.refinement.rules.difftre import DiffTRe  # jax and optax, which the first rules do without

    names = c.refinement.parameters
    parts = (*(["correction"] if "correction" in names else []), *(["base"] if set(names) - {"correction"} else []))
    return DiffTRe(
        optimiser=c.refinement.optimiser,
        learning_rate=c.refinement.learning_rate,
        threshold=c.refinement.threshold,
        inner_steps=c.refinement.inner_steps,
        final_factor=c.sampling.final,
        parameters=parts,
    )


def _backprop(c: StudyConfig) -> Rule:
    from refine.refinement.rules.backprop import Backprop

    return Backprop(
        windows=c.refinement.windows,
        steps=c.refinement.window_steps,
        clip=c.refinement.clip,
        optimiser=c.refinement.optimiser,
        learning_rate=c.refinement.learning_rate,
        length=c.correction.length,
        final_factor=c.sampling.final,
    )


def make_rule(config: StudyConfig) -> Rule:
    """The rule that [refinement] method names."""
    return RULES[config.refinement.method](config)
