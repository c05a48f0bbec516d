"""What `refine check` says of a study: numbers, and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from refine.progress import duration
from refine.results.tables import plain
from refine.study.choices.choice import Choice
from refine.study.datasets import DataSet, NumberSet, Prediction
from refine.study.schema import StudyConfig
from refine.tasks.check.cost import Timing
from refine.tasks.check.plan import Plan, StatePlan
from refine.tasks.check.weights import AT_Q, Weights
from refine.tasks.columns import aligned

MEGABYTE = 1e6

IN_UPDATE = 4
"""Memory of an update in that of all frames: two arrays of their counts in float64."""


@dataclass(frozen=True)
class Check:
    """What a study says, before anything is sampled for a result.

    Attributes:
        config: the study.
        fitted: whether there is something to fit; else it is one of `refine predict`.
        datasets, predictions, numbers: as they are bound to their boxes.
        weights: of the pairs in each total.
        choices: what was decided without a sample, for keys that the study leaves open.
        plan: what will be sampled.
        timing: what that costs; None where nothing was timed.
        doubts: of parameters of the base.
    """

    config: StudyConfig
    fitted: bool
    datasets: tuple[DataSet, ...]
    predictions: tuple[Prediction, ...]
    numbers: tuple[NumberSet, ...]
    weights: tuple[Weights, ...]
    choices: tuple[Choice, ...]
    plan: Plan
    timing: Timing | None
    doubts: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Of the run, or the prediction, at most."""
        return None if self.timing is None else sum(self.timing.seconds(self.plan).values())

    @property
    def memory(self) -> int | None:
        """Bytes: of this process, of all frames as they are kept, and of what is made of them in an update."""
        return None if self.timing is None else self.timing.resident + (1 + IN_UPDATE) * self.plan.bytes

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        names = [state.name for state in self.config.states]
        plan = asdict(self.plan)
        for state, one in zip(plan["states"], self.plan.states, strict=True):
            state["steps"] = one.steps
        cost = None
        if self.timing is not None:
            cost = {
                **asdict(self.timing),
                "seconds": self.timing.seconds(self.plan),
                "total_seconds": self.seconds,
                "memory_bytes": self.memory,
            }
        table = {
            "title": self.config.title,
            "model": self.config.model.title,
            "method": self.config.refinement.method if self.fitted else None,
            "warnings": list(self.doubts),
            "data": [
                {
                    "name": data.name,
                    "state": names[data.state],
                    "role": data.role,
                    **_declared(data),
                    "points": len(data.fit.values),
                    "compared": data.fit.words,
                    "sigma_known": data.fit.sigma_known,
                    "warnings": list(data.doubts),
                }
                for data in self.datasets
            ],
            "numbers": [
                {"name": one.name, "state": names[one.state], "role": one.role, "quantity": one.entry.quantity}
                for one in self.numbers
            ],
            "predictions": [
                {"name": one.name, "state": names[one.state], **_declared(one)} for one in self.predictions
            ],
            "weights": [
                {
                    "name": one.name,
                    "q": AT_Q,
                    "over": "<f^2>" if one.null else "<f>^2",
                    "pairs": {"-".join(pair): row for pair, row in zip(one.pairs, one.values, strict=True)},
                }
                for one in self.weights
            ],
            "chosen": [choice.to_json() for choice in self.choices],
            "sampling": {**plan, "frames_bytes": self.plan.bytes},
            "timing": cost,
        }
        return dict(plain(table))

    def table(self) -> str:
        """What the terminal shows."""
        what = "nothing is fitted: for refine predict"
        if self.fitted:
            updates = self.config.refinement.iterations
            what = f"{self.config.refinement.method}, at most {updates} update{'s' if updates != 1 else ''}"
        parts = [f"{self.config.title}: {self.config.model.title}; {what}", self._data()]
        if self.weights:
            parts.append(_weights(self.weights))
        parts += [self._state(state) for state in self.plan.states]
        closing = [choice.words() for choice in self.choices]
        if self.plan.opened:
            closing.append(f"{', '.join(self.plan.opened)}: a first sample decides, and the usual values stand here")
        closing += [self._frames(), *self._cost()]
        warnings = [f"warning: {data.name}: {doubt}" for data in self.datasets for doubt in data.doubts]
        warnings += [f"warning: {doubt}" for doubt in self.doubts]
        return "\n\n".join([*parts, "\n".join(closing), *(["\n".join(warnings)] if warnings else [])])

    def _data(self) -> str:
        """A row for each data set."""
        rows: list[tuple[str, ...]] = [("data", "role", "curve", "normalisation", "radiation", "errors", "compared")]
        for data in self.datasets:
            known = "stated" if data.fit.sigma_known else "estimated"
            rows.append((data.name, data.role, *_declared(data).values(), known, data.fit.words))
        for one in self.predictions:
            rows.append((one.name, "predict", *_declared(one).values(), "-", "-"))
        for number in self.numbers:
            rows.append((number.name, number.role, number.entry.quantity, "-", "-", "stated", "a number"))
        return "\n".join(aligned(rows))

    def _state(self, state: StatePlan) -> str:
        """The lines of a state."""
        plan = self.plan
        atoms = ", ".join(f"{n} {name}" for name, n in state.atoms.items())
        edges = " × ".join(f"{float((row @ row) ** 0.5):.2f}" for row in state.cell)
        least, most = state.start_steps
        start = f"{most}" if least == most else f"{least} to {most}"
        side = f", {plan.replicas} replicas side by side" if plan.replicas > 1 else ""
        lines = [
            f"{state.name}: {atoms} at {state.temperature:g} K, {state.phase}; {state.number_density:.5f} atoms/Å^3, "
            f"{state.mass_density:.4g} g/cm^3, cell {edges} Å",
            f"  engine {plan.engine}, {plan.thermostat}, time step {plan.timestep:g} fs{side}; start: {state.start}",
            f"  equilibration {plan.equilibration:g} ps, {start} steps to the first frame",
            f"  {state.frames} frames a sample, one in {plan.stride} steps: {state.sample_steps} steps",
        ]
        if state.updates and not state.moves:
            final = state.lengths - state.updates
            longer = f", the last {final:g} times as long" if final != 1.0 else ""
            lines += [
                f"  {state.samples} samples at most{longer}",
                f"  reequilibration {plan.reequilibration:g} ps, {state.settle_steps} steps, before each but the first",
            ]
        if state.moves:
            lines.append(
                f"  {state.samples} samples at most, all but the first of atoms that are moved to fit the data"
            )
        if state.windows:
            lines.append(
                f"  behind each sample {state.windows} windows of {state.window_steps} steps are differentiated"
            )
        lines.append(f"  about {state.steps} steps of dynamics, at most")
        return "\n".join(lines)

    def _frames(self) -> str:
        size = f"frames: {_megabytes(self.plan.bytes)} at most"
        if self.memory is None:
            return size
        assert self.timing is not None
        return (
            f"memory: about {_megabytes(self.memory)} at most: the program {_megabytes(self.timing.resident)}, {size}, "
            f"and {IN_UPDATE} times that in an update"
        )

    def _cost(self) -> list[str]:
        """What was timed, and what it adds up to."""
        if self.timing is None or self.seconds is None:
            return []
        lines = [f"timed on this machine ({self.timing.device}):"]
        for one in self.timing.states:
            frame = f"{duration(one.frame)} a frame" if one.frame > 0.0 else "a frame in less than can be timed"
            line = (
                f"  {one.name}: {duration(one.step)} a step ({one.steps} steps), {frame}, "
                f"start structure {duration(one.start)}, compiling {duration(one.compiling)}"
            )
            for seconds, what in ((one.move_frame, "a frame of moved atoms"), (one.window, "a differentiated window")):
                line += "" if seconds is None else f", {duration(seconds)} {what}"
            lines.append(line)
        lanes = self.timing.lanes
        if (several := len(set(lanes))) > 1:
            slowed = self.timing.slowed
            line = f"  {several} of {len(lanes)} states at a time, on devices of their own"
            lines.append(line + (f": each takes {slowed:.1f} times as long as alone" if slowed >= 1.1 else ""))
        update = "" if self.timing.update is None else f", an update {duration(self.timing.update)}"
        lines.append(f"  curves of a sample {duration(self.timing.curves)}{update}")
        parts = [f"{name} {duration(value)}" for name, value in self.timing.seconds(self.plan).items() if value]
        lines.append(f"time: about {duration(self.seconds)} at most: {', '.join(parts)}")
        if (share := self.timing.busy) is not None:
            alone = f"; with all of it, about {duration(share * self.seconds)}"
            if (self.config.sampling.processes or 1) > 1:
                alone = ", and processes of MPI wait for each other: without the others it is another number"
            lines.append(f"  the machine is busy: the steps had {100 * share:.0f} % of a core{alone}")
        return lines + [f"  {note}" for note in self.timing.notes]


def _declared(data: DataSet | Prediction) -> dict[str, str]:
    """What a curve is."""
    curve = data.measurement.curve
    seen = curve.radiation or ("partial" if curve.pair is None else "-".join(curve.pair))
    return {"quantity": curve.quantity, "normalisation": curve.normalisation, "radiation": seen}


def _weights(weights: Sequence[Weights]) -> str:
    """A row for each pair of each total."""
    rows = [("weights at Q =", "pair", *(f"{q:g}" for q in AT_Q), "1/Å")]
    for one in weights:
        for pair, values in zip(one.pairs, one.values, strict=True):
            over = "over <f^2>: the mean amplitude is zero" if one.null else ""
            rows.append((one.name, "-".join(pair), *(f"{value:.4f}" for value in values), over))
    return "\n".join(aligned(rows))


def _megabytes(size: float) -> str:
    return f"{float(f'{size / MEGABYTE:.2g}'):g} MB"
