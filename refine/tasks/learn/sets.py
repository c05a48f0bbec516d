"""Which frames are learnt from, which decide, and which are only reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from refine.errors import InputError
from refine.learning.frames import LabelledFrame, edges_of, read_labelled
from refine.learning.keys import Labels, Learning

PARTS = ("train", "valid", "test")
TERMS = ("energy", "forces", "stress")
"""Of the loss, by the names of labels and of weights."""

SAME = 1e-3
"""eV; energies of one element's isolated atom that differ by more are of different states."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Sets:
    """Frames by "train", "valid" and, where there are any, "test"; and what stands apart from them.

    Attributes:
        parts: without single atoms.
        alone: of all files, frames of one atom without neighbours: their energy is E0 of the labels, as in mace-torch.
        alone_in_train: those of train alone.
    """

    parts: dict[str, list[LabelledFrame]]
    alone: list[LabelledFrame]
    alone_in_train: list[LabelledFrame]

    @property
    def elements(self) -> dict[str, set[str]]:
        """By part."""
        return {part: {s for frame in frames for s in frame.symbols} for part, frames in self.parts.items()}

    def untrained(self) -> list[str]:
        """Elements that valid or test has and train has not."""
        return sorted(set().union(*self.elements.values()) - self.elements["train"])

    def isolated(self) -> dict[str, float]:
        """Energies of the uncharged single atoms of train by element, eV, of elements that the parts have.

        Raises:
            InputError: an element has several that differ.
        """
        present, energies = set().union(*self.elements.values()), dict[str, list[float]]()
        for frame in self.alone_in_train:
            if frame.energy is not None and not frame.charge and frame.symbols[0] in present:
                energies.setdefault(frame.symbols[0], []).append(frame.energy)
        for symbol, values in energies.items():
            if max(values) - min(values) > SAME:
                raise InputError(
                    f"single atoms of {symbol} have energies of {min(values):.10g} to {max(values):.10g} eV",
                    where="[frames] train",
                    fix="keep the one that is the zero of the labels",
                )
        return {symbol: values[0] for symbol, values in energies.items()}


def read_sets(labels: Labels, settings: Learning, cutoff: float, tell: Tell) -> Sets:
    """The frames of the files, shares kept apart where no file is named.

    cutoff: Å, of neighbours.

    Raises:
        InputError: as `read_labelled`; too few frames to keep some apart; no label of a kind that the loss weighs; a
            weight of frames that there are not.
    """
    found = {
        part: [
            replace(frame, weight=weight * frame.weight)
            for path, weight in labels.weighed(part)
            for frame in read_labelled(path, labels)
        ]
        for part in PARTS
    }
    _check_kinds(labels, [frame for frames in found.values() for frame in frames])
    alone = {part: [frame for frame in frames if _alone(frame, cutoff)] for part, frames in found.items()}
    for part, frames in alone.items():
        left_out = set(map(id, frames))
        found[part] = [frame for frame in found[part] if id(frame) not in left_out]
    train = found["train"]
    order = np.random.default_rng(labels.seed).permutation(len(train)).tolist()
    for part, share, fewest in (("test", labels.test_share, 0), ("valid", labels.valid_share, 1)):
        if not found[part]:
            number = max(fewest, round(share * len(train)))
            found[part] = [train[k] for k in sorted(order[:number])]
            order = order[number:]
    if not order:
        raise InputError(
            f"{len(train)} frames are too few to keep some apart",
            where="[frames] train",
            fix="give more, or files as valid and test",
        )
    found["train"] = [train[k] for k in sorted(order)]
    _check_labels(found["train"], settings)
    weighed = [name for name in TERMS if getattr(settings, f"{name}_weight")]
    if not any(_has(frame, name) for frame in found["valid"] for name in weighed):
        raise InputError(
            f"no frame of valid has a label for {' or '.join(weighed)}{_weightless(found['valid'])}",
            where="[frames] valid",
            fix="give frames that have one",
        )
    parts = {part: frames for part, frames in found.items() if frames}
    _tell_labels(parts, weighed, tell)
    _tell_twins(parts, tell)
    return Sets(parts, [frame for frames in alone.values() for frame in frames], alone["train"])


def _alone(frame: LabelledFrame, cutoff: float) -> bool:
    return len(frame.symbols) == 1 and not len(edges_of(frame, cutoff)[0])


def _check_kinds(labels: Labels, frames: Sequence[LabelledFrame]) -> None:
    present = dict.fromkeys(frame.kind for frame in frames if frame.kind is not None)
    unknown = [kind for kind in labels.weights if kind not in present]
    if unknown:
        some = ", ".join(list(present)[:12]) or "none"
        raise InputError(
            f"no frame is of the kind {unknown[0]!r}", where="[frames] weights", fix=f"{labels.kind} says: {some}"
        )


def _has(frame: LabelledFrame, name: str) -> bool:
    """Whether the frame has a label that counts."""
    return frame.weight_of(name) > 0


def _weightless(frames: Sequence[LabelledFrame]) -> str:
    return " and a weight above 0" if any(frame.weight == 0 for frame in frames) else ""


def _check_labels(frames: Sequence[LabelledFrame], settings: Learning) -> None:
    """Of the training frames."""
    weighed = [name for name in TERMS if getattr(settings, f"{name}_weight")]
    for name in weighed:
        needed = name != "stress" or weighed == ["stress"]
        if needed and not any(_has(frame, name) for frame in frames):
            raise InputError(
                f"no frame of train has a label for {name}{_weightless(frames)}",
                where=f"[frames] {name}",
                fix=f"give the name of the label, or set learn.{name}_weight to 0",
            )


def _tell_labels(parts: Mapping[str, Sequence[LabelledFrame]], weighed: Sequence[str], tell: Tell) -> None:
    for part, frames in parts.items():
        for name in weighed:
            labelled = sum(getattr(frame, name) is not None for frame in frames)
            if labelled < len(frames):
                tell(f"{labelled} of {len(frames)} frames of {part} have a label for {name}")


def _tell_twins(parts: Mapping[str, Sequence[LabelledFrame]], tell: Tell) -> None:
    """How many frames of other parts are in train, too: they say nothing of what the model does not know."""
    learnt = {_likeness(frame) for frame in parts["train"]}
    for part in ("valid", "test"):
        twins = sum(_likeness(frame) in learnt for frame in parts.get(part, ()))
        if twins:
            tell(f"{twins} of {len(parts[part])} frames of {part} are in train, too: their errors are too small")


def _likeness(frame: LabelledFrame) -> tuple[object, ...]:
    return frame.symbols, frame.positions.tobytes(), frame.cell.tobytes(), frame.periodic.tobytes()
