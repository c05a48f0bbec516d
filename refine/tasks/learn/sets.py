"""Which frames are learnt from, which decide, and which are only reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from refine.errors import InputError
from refine.learning.frames import LabelledFrame, read_labelled
from refine.learning.keys import Labels, Learning

PARTS = ("train", "valid", "test")
TERMS = ("energy", "forces", "stress")
"""Of the loss, by the names of labels and of weights."""

Sets = dict[str, list[LabelledFrame]]
"""By "train", "valid" and, where there are any, "test"."""


def read_sets(labels: Labels, settings: Learning, tell: Callable[[str], None]) -> Sets:
    """The frames of the files, shares kept apart where no file is named.

    Raises:
        InputError: as `read_labelled`; too few frames to keep some apart; no label of a kind that the loss weighs.
    """
    found = {part: [f for path in labels.paths(part) for f in read_labelled(path, labels)] for part in PARTS}
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
    _check_labels(found["train"], settings, tell)
    weighed = [name for name in TERMS if getattr(settings, f"{name}_weight")]
    if all(getattr(frame, name) is None for frame in found["valid"] for name in weighed):
        raise InputError(
            f"no frame of valid has a label for {' or '.join(weighed)}",
            where="[frames] valid",
            fix="give frames that have one",
        )
    return {part: frames for part, frames in found.items() if frames}


def refuse_charged(frames: Sequence[LabelledFrame]) -> None:
    """InputError for a frame with a charge or unpaired spins: of models that take these they are not yet learnt."""
    for frame in frames:
        if (frame.charge, frame.spin) != (0.0, 1.0):
            raise InputError(
                f"charge {frame.charge:g} and spin {frame.spin:g}: the model takes both, and is trained without charge "
                "and with all spins paired",
                where=frame.where,
                fix="leave the frame out",
            )


def _check_labels(frames: list[LabelledFrame], settings: Learning, tell: Callable[[str], None]) -> None:
    """Of the training frames."""
    for name in TERMS:
        weight = getattr(settings, f"{name}_weight")
        labelled = sum(getattr(frame, name) is not None for frame in frames)
        if weight and not labelled and name != "stress":
            raise InputError(
                f"no frame of train has a label for {name}",
                where=f"[frames] {name}",
                fix=f"give the name of the label, or set learn.{name}_weight to 0",
            )
        if weight and labelled < len(frames):
            tell(f"{labelled} of {len(frames)} frames of train have a label for {name}")
