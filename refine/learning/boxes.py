"""Charge and spin of frames, for models that take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from refine.errors import InputError
from refine.learning.frames import LabelledFrame
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.preparation import input_rows


class ChargeAndSpin(NamedTuple):
    """Of a frame: total charge, e, and spin multiplicity, 2S + 1."""

    charge: int = 0
    spin: int = 1


NEUTRAL = ChargeAndSpin()


def inputs_of(checkpoint: Checkpoint, frame: LabelledFrame) -> tuple[int, ...]:
    """What the model takes of a frame beside its atoms, as its tables have it; empty for most models. A frame that says
    nothing is uncharged, with all spins paired.

    Raises:
        InputError: a charge or spin that is no whole number, or that the model does not know.
    """
    taken, box = _taken(checkpoint), NEUTRAL._asdict()
    for name in taken:
        given = getattr(frame, name)
        if given is None:
            continue
        if not float(given).is_integer():
            raise InputError(f"{name} is {given:g}, which is no whole number", where=frame.where)
        box[name] = int(given)
    return input_rows(checkpoint, box["charge"], box["spin"], frame.where)


def in_box(frame: LabelledFrame, box: ChargeAndSpin) -> LabelledFrame:
    """A frame with a charge and spin where it says none."""
    return replace(
        frame,
        charge=box.charge if frame.charge is None else frame.charge,
        spin=box.spin if frame.spin is None else frame.spin,
    )


def not_taken(checkpoint: Checkpoint, frames: Sequence[LabelledFrame]) -> tuple[str, ...]:
    """In words, what frames say of charge and spin and the model does not take: such frames look uncharged to it, or as
    if all spins were paired, and their labels are not those of that."""
    said, taken = [], _taken(checkpoint)
    for name, words in (("charge", "a charge"), ("spin", "unpaired spins")):
        usual = getattr(NEUTRAL, name)
        stated = [frame for frame in frames if getattr(frame, name) not in (None, usual)]
        if stated and name not in taken:
            said.append(
                f"{len(stated)} of {len(frames)} frames have {words} ({stated[0].where}: {name} = "
                f"{getattr(stated[0], name):g}), which the model does not take: it cannot tell them from others"
            )
    return tuple(said)


def _taken(checkpoint: Checkpoint) -> list[str]:
    """Of "charge" and "spin", what the model takes."""
    return [entry.name.removeprefix("total_") for entry in checkpoint.architecture.inputs]
