"""How far closure and linear response are believed: by what each said of the samples that came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from refine.refinement.inference.statistics import averages
from refine.refinement.problem import Problem, Sample
from refine.sampling.frames import Frames

Array = NDArray[np.float64]

SHARES, FACTORS = (0.1, 0.5), (0.5, 3.0)
"""Limits of what one prediction says: a response that is to be wrong by all that it predicts could never be tried."""

BENT = 0.5
"""Share that is wrong of what is not linear in the closure's change, whatever else is."""

ENOUGH = 0.25
"""Share of a change that linear response may miss, beyond the noise of its slope, and still be believed, where it
misses less than all of it in the whole, which says nothing of how straight the way is, and the closure is not clearly
the better one."""

CLEAR = 2.0
"""A square counts beyond so many times what sampling noise alone gives."""

CLEARLY = 0.5
"""Share of what linear response missed, noise and all, that the closure may have missed to be clearly better."""

FORGOTTEN = 0.5
"""Weight of what was missed before, after each sample."""

PASSING, SHELL, SMOOTHED = 0.2, 1.6, 0.1
"""g(r) of a network somewhere behind its first peak, up to so many times as far, in averages over so many Å. It is 0.08
of Si-O in silica at 3500 K, 0.15 of La-Cl, and 0.22 to 0.5 of the nearest ions in other molten chlorides."""

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

    share: float = 0.25
    factor: float = 1.0
    predictions: float = 1.0

    def learnt(self, said: Opinion, came: Array, noise: float) -> Belief:
        """After a sample whose curve `came`; noise: mean sampling variance of came - said.y.

        A prediction counts as far as its change stands out of that noise, and of what is not linear in it: far away
        little is learnt of what is near.

        >>> said = Opinion(np.zeros(2), np.ones(2), np.ones(2), 0.1, 0.0)
        >>> after = Belief(share=0.3).learnt(said, np.array([1.5, 0.5]), noise=0.0)
        >>> round(after.share, 3), round(after.factor, 3), after.predictions
        (0.412, 1.323, 2.0)
        """
        square = float(np.mean(said.closure**2))
        weight = square / (square + noise + said.bent) if square > 0.0 else 0.0
        missed = [float(np.mean((came - said.y - change) ** 2)) - noise for change in (said.closure, said.linear)]
        if weight == 0.0 or said.noise <= 0.0:
            return self
        share = np.clip(max(missed[0] - BENT**2 * said.bent, 0.0) / square, *np.square(SHARES))
        factor = np.clip(max(missed[1] - said.bent, 0.0) / said.noise, *np.square(FACTORS))
        total = self.predictions + weight
        return Belief(
            float(np.sqrt((self.predictions * self.share**2 + weight * share) / total)),
            float(np.sqrt((self.predictions * self.factor**2 + weight * factor) / total)),
            min(total, REMEMBERED),
        )


@dataclass(frozen=True)
class Record:
    """What a rule remembers of the two.

    Attributes:
        beliefs: by the target's name.
        missed: by closure, by linear response, and by the latter beyond the noise of its slope: squares of what they
            missed over squares of what changed, in the last samples.
        opinions: what they say of the next sample, by the target's name; empty where nothing was asked.
        closure: whether the closure is believed; before there is any sample, but in a `network` near the solution.
    """

    beliefs: Mapping[str, Belief] = field(default_factory=dict)
    missed: tuple[float, float, float] = (0.0, 0.0, 0.0)
    opinions: Mapping[str, Opinion] = field(default_factory=dict)
    closure: bool = True

    @property
    def untried(self) -> bool:
        """Whether no sample has said anything of the two yet."""
        return not self.beliefs

    def _believes_closure(self, missed: Array) -> bool:
        """The closure where it was clearly the better one: an exact slope that is mostly noise is no guide. Else linear
        response where it predicted well enough, or better. Once believed it gives way only to what is clearly better,
        as near the solution both miss most of the little that changes.
        """
        closure, linear, bent = missed
        if closure < CLEARLY**2 * linear:
            return True
        if bent <= ENOUGH**2 and linear < 1.0:
            return False
        return bool(self.closure and closure < linear)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "beliefs": {name: [b.share, b.factor, b.predictions] for name, b in self.beliefs.items()},
            "missed": list(self.missed),
            "closure": self.closure,
            "opinions": {name: opinion.to_json() for name, opinion in self.opinions.items()},
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any] | None) -> Record:
        """The inverse of `to_json`; None: nothing yet."""
        if tree is None:
            return cls()
        closure, linear, bent = tree["missed"]
        return cls(
            {name: Belief(*values) for name, values in tree["beliefs"].items()},
            (float(closure), float(linear), float(bent)),
            {name: Opinion.from_json(opinion) for name, opinion in tree["opinions"].items()},
            bool(tree["closure"]),
        )

    def after(self, problem: Problem, newest: Sample) -> tuple[Record, str]:
        """With what came of the opinions, and words for it. What earlier samples said counts half as much each time."""
        if not self.opinions:
            return self, ""
        beliefs, changed, missed, sampling = dict(self.beliefs), 0.0, np.zeros(3), 0.0
        for target in problem.targets:
            if target.name not in self.opinions or not target.counted:
                continue
            said = self.opinions[target.name]
            y, variance = averages(newest, target.state, [target])
            noise = 2.0 * variance
            beliefs[target.name] = beliefs.get(target.name, Belief()).learnt(said, y, float(noise.mean()))
            weights, change = target.weight / np.diag(target.covariance), y - said.y
            changed += float(weights @ change**2)
            closure, linear = (float(weights @ (change - one) ** 2) for one in (said.closure, said.linear))
            missed += [closure, linear, linear - float(weights.sum()) * said.noise]
            sampling += float(weights @ noise)
        noise_level = CLEAR * sampling
        if changed <= noise_level:  # all of it may be noise
            return replace(self, beliefs=beliefs, opinions={}), ""
        now = np.maximum(missed - noise_level, 0.0) / (changed - noise_level)
        total = now + FORGOTTEN * np.array(self.missed)
        closure, linear, bent = (float(share) for share in total)
        record = Record(beliefs, (closure, linear, bent), closure=self._believes_closure(total))
        believed = "the closure" if record.closure else "linear response"
        words = [_percent(share) if share > 0.0 else "nothing beyond noise" for share in np.sqrt(now[:2])]
        if now[2] < now[1]:
            words[1] += f" ({_percent(np.sqrt(now[2]))} beyond its slope's noise)"
        return record, (
            f"of the change the closure missed {words[0]}, linear response {words[1]}: {believed} is believed"
        )


def network(frames: Frames) -> bool:
    """Whether some pairs seldom pass from their first shell: bridge functions of a network move with its potential,
    which no closure sees.

    The first shell is taken to be the highest peak of g(r), above 1; behind it g falls below `PASSING`. Of few pairs,
    those of a rare species, it may do so by chance.
    """
    felt = frames.felt
    r, bins = felt.centres, max(1, round(SMOOTHED * felt.counts.shape[2] / felt.r_max))
    for g in uniform_filter1d(np.nan_to_num(felt.pair_distribution()), bins, axis=1, mode="nearest"):
        top = int(np.argmax(g))
        behind = g[top : np.searchsorted(r, SHELL * r[top])]
        if g[top] > 1.0 and behind.min(initial=1.0) < PASSING:
            return True
    return False


def _percent(share: float) -> str:
    """In words; of a change that hardly stands out of the noise any share may be missed.

    >>> _percent(0.456), _percent(8e5)
    ('46%', 'more than 1000%')
    """
    return f"{share:.0%}" if share <= 10.0 else "more than 1000%"
