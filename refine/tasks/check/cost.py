"""What a study will cost: the seconds of steps, frames and updates, as they add up over what is planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refine.tasks.check.plan import Plan
from refine.tasks.run.engines import SETTLING_MOVES

BUSY, KNOWN = 0.8, 0.02
"""Of a core: steps that have less than the first wait for others; with less than the second they are elsewhere."""


@dataclass(frozen=True)
class StateTiming:
    """Seconds of one state.

    Attributes:
        name: of the state.  steps: that were timed.
        start: packing and relaxation of the start structure, compiled.
        compiling: the program of the dynamics.
        share: processors that the timed steps had, of this process and those that it started together.
        step, frame: of all replicas together; what a block costs before its first step is in its steps.
        move_frame: of a frame of atoms that are moved to fit the data; None where none are.
        window: of a window of each replica that is differentiated; None where none is.
    """

    name: str
    steps: int
    start: float
    compiling: float
    share: float
    step: float
    frame: float
    move_frame: float | None
    window: float | None = None


@dataclass(frozen=True)
class Timing:
    """What a study costs on this machine.

    Attributes:
        device: in words.
        states: of each.
        curves: seconds for all curves of an ordinary sample, their scores and errors.
        update: seconds of an update of the rule on one sample; None where it was not timed, for a reason in `notes`.
        resident: bytes of this process at its largest so far.
        notes: what is not in the numbers.
        lanes: of each state; those of different ones are sampled at the same time (`refine.tasks.lanes`).
        slowed: how many times as long steps take where all lanes are at work as where one is.
    """

    device: str
    states: tuple[StateTiming, ...]
    curves: float
    update: float | None
    resident: int
    notes: tuple[str, ...]
    lanes: tuple[int, ...]
    slowed: float = 1.0

    @property
    def busy(self) -> float | None:
        """The share of a core that steps had where that was too little; None where it was enough, and where nobody
        knows: on other devices than a CPU, and of programs that others start."""
        share = min(one.share for one in self.states)
        return share if self.device == "cpu" and KNOWN < share < BUSY else None

    def seconds(self, plan: Plan) -> dict[str, float]:
        """By what they are spent on, at most; of states that are sampled at the same time, those who take longest."""
        lanes = [0] * len(self.states) if any(one.moves for one in plan.states) else list(self.lanes)
        settled = 1.0 + 1.0 / SETTLING_MOVES
        begun, sampled = [], []
        for one, cost in zip(plan.states, self.states, strict=True):
            first, rest = one.start_steps[1], (one.all_frames - one.moved_frames) / plan.replicas
            moved = settled * one.moved_frames / plan.replicas * (cost.move_frame or 0.0)
            begun.append((cost.start, first * cost.step, one.first_frames * cost.frame))
            sampled.append(((one.steps - first) * cost.step, rest * cost.frame, moved))
        # nobody samples before all are equilibrated
        structures, *beginning = self._longest(begun, self.lanes)
        steps, frames, moves = self._longest(sampled, lanes)
        windows = (
            one.samples * one.windows * (cost.window or 0.0) for one, cost in zip(plan.states, self.states, strict=True)
        )
        return {
            "start structures": structures,
            "compiling": plan.programs * sum(cost.compiling for cost in self.states),
            "steps": beginning[0] + steps,
            "frames": beginning[1] + frames,
            "moves": moves,
            "windows": sum(windows),
            "curves": self.curves * plan.states[0].lengths,
            "updates": (self.update or 0.0) * plan.states[0].samples,
        }

    def _longest(self, costs: Sequence[tuple[float, ...]], lanes: Sequence[int]) -> list[float]:
        """The parts of the costs of all states, added up over the lane in which that takes longest."""
        slowed = self.slowed if len(set(lanes)) > 1 else 1.0
        of_lanes = [[cost for cost, own in zip(costs, lanes, strict=True) if own == lane] for lane in set(lanes)]
        return [slowed * sum(part) for part in zip(*max(of_lanes, key=lambda one: sum(map(sum, one))), strict=True)]
