"""How far closure and linear response are believed: by what each said of the samples that came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.refinement.inference.statistics import statistical_inefficiency
from refine.refinement.problem import Problem, Sample

Array = NDArray[np.float64]

SHARES, FACTORS = (0.1, 3.0), (0.5, 3.0)
"""Limits of what one prediction says."""

REMEMBERED = 3.0
"""Predictions that count at most, so that what is learnt far away does not stand near the solution."""


@dataclass(frozen=True)
class Opinion:
    """What the two responses say of one target on a way.

    Attributes:
        y: (points,) the curve before.
        closure, linear: (points,) their changes of it.
        noise, bent: mean sampling variance of `linear`, and mean square of what is not linear in `closure`.
    """

    y: Array
    closure: Array
    linear: Array
    noise: float
    bent: float

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Opinion:
        """The inverse of `to_json`."""
        y, closure, linear = (np.array(tree[name], float) for name in ("y", "closure", "linear"))
        return cls(y, closure, linear, float(tree["noise"]), float(tree["bent"]))


@dataclass(frozen=True)
class Belief:
    """How wrong the two responses are in one target.

    Attributes:
        share: of the closure's change of a curve that is wrong.
        factor: by which errors of the linear response exceed its sampling noise.
        predictions: how many samples that is learnt from, the prior one included.
    """

    share: float = 0.35
    factor: float = 1.0
    predictions: float = 1.0

    def learnt(self, said: Opinion, came: Array, noise: float) -> Belief:
        """After a sample whose curve `came`; noise: mean sampling variance of came - said.y.

        A prediction counts as far as its change stands out of that noise.

        >>> said = Opinion(np.zeros(2), np.ones(2), np.ones(2), 0.1, 0.0)
        >>> Belief(share=0.3).learnt(said, np.array([1.5, 0.5]), noise=0.0)
        Belief(share=0.412..., factor=1.322..., predictions=2.0)
        """
        square = float(np.mean(said.closure**2))
        weight = square / (square + noise) if square > 0.0 else 0.0
        missed = [float(np.mean((came - said.y - change) ** 2)) - noise for change in (said.closure, said.linear)]
        if weight == 0.0 or said.noise <= 0.0:
            return self
        share = np.clip(max(missed[0], 0.0) / square, *np.square(SHARES))
        factor = np.clip(max(missed[1] - said.bent, 0.0) / said.noise, *np.square(FACTORS))
        total = self.predictions + weight
        return Belief(
            float(np.sqrt((self.predictions * self.share**2 + weight * share) / total)),
            float(np.sqrt((self.predictions * self.factor**2 + weight * factor) / total)),
            min(total, REMEMBERED),
        )


def beliefs_of(stored: Mapping[str, Sequence[float]] | None) -> dict[str, Belief]:
    """By the target's name, out of a rule's memory."""
    return {name: Belief(*values) for name, values in (stored or {}).items()}


def learnt(
    stored: Mapping[str, Sequence[float]] | None,
    opinions: Mapping[str, Mapping[str, Any]] | None,
    problem: Problem,
    newest: Sample,
) -> tuple[dict[str, list[float]] | None, str]:
    """Beliefs for a rule's memory after the newest sample, and words for who predicted it better.

    Args:
        stored: before it.
        opinions: JSON values of what was said of it, by the target's name; None: nothing was.
    """
    if opinions is None:
        return None if stored is None else {name: list(values) for name, values in stored.items()}, ""
    beliefs = beliefs_of(stored)
    changed, missed = 0.0, np.zeros(2)
    for target in problem.targets:
        if not target.counted:
            continue
        said, frames = Opinion.from_json(opinions[target.name]), newest.frames[target.state]
        y = target.values(frames)
        noise = 2.0 * float(np.mean(statistical_inefficiency(y, frames.replica) * y.var(axis=0))) / len(y)
        change = y.mean(axis=0) - said.y
        beliefs[target.name] = beliefs.get(target.name, Belief()).learnt(said, y.mean(axis=0), noise)
        weights = target.weight / np.diag(target.covariance)
        changed += float(weights @ change**2)
        missed += [float(weights @ (change - one) ** 2) for one in (said.closure, said.linear)]
    memory = {name: [b.share, b.factor, b.predictions] for name, b in beliefs.items()}
    if changed == 0.0:
        return memory, ""
    closure, linear = np.sqrt(missed / changed)
    return memory, f"the closure missed {closure:.0%} of the change, linear response {linear:.0%}"
