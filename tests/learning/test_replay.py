"""Frames that are replayed: the term against a sum written out, its derivative against differences, and programs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.learning.boxes import ChargeAndSpin, inputs_of
from refine.learning.frames import LabelledFrame
from refine.learning.loss import Terms
from refine.learning.replay import LABELLED, SAMPLED, Replay, Settings, bare
from refine.potentials.mace.architecture import BoxInput, Checkpoint
from refine.potentials.mace.moved import moved
from refine.system import System
from tests.learning.labelled import atoms_of, labelled_by, noisy
from tests.potentials.mace.models import random_checkpoint
from tests.potentials.mace.test_weights import CELLS, frames_of, system_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

CHECKPOINT = random_checkpoint(7, channels=2, max_ell=1, r_max=4.0)
FEW = ("cubic", "a molecule")
SETTINGS = Settings(Terms(1.0, 0.5, 2.0), Terms(0.01, 0.2, 0.003), 0.0, 0)


@pytest.fixture(scope="module")
def truth() -> list[LabelledFrame]:
    """Frames with the labels of the model itself."""
    return labelled_by(CHECKPOINT, [atoms_of(kind) for kind in FEW])


def replay_of(
    labelled: list[LabelledFrame],
    own: list[LabelledFrame] | None = None,
    settings: Settings = SETTINGS,
    names: tuple[str, ...] = ("lora:2",),
    systems: tuple[System, ...] = (),
) -> Replay:
    change = moved(CHECKPOINT, names, ("O", "Fe", "H"), where="here")
    return Replay(CHECKPOINT, change, None, labelled, own or [], systems, settings)


def test_the_term_is_the_sum_written_out(truth: list[LabelledFrame]) -> None:
    """Means over the labels that there are by their weights, in units of sigma, whatever the batches are."""
    changes: list[dict[str, Any]] = [
        {"energy": None},
        {"forces": None, "energy_weight": 0.25},
        {"weight": 0.5, "forces_weight": 3.0},
        {"stress_weight": 0.1},
    ]
    twice = [*truth, *truth]
    labels = [replace(frame, **change) for frame, change in zip(noisy(twice), changes, strict=True)]
    sigmas = {"energy": 0.01, "forces": 0.2, "stress": 0.003}
    squares: dict[str, list[float]] = {name: [] for name in sigmas}
    weights: dict[str, list[float]] = {name: [] for name in sigmas}
    for label, true in zip(labels, twice, strict=True):
        for name, sigma in sigmas.items():
            if getattr(label, name) is None or getattr(true, name) is None:
                continue
            off = np.ravel(getattr(label, name) - getattr(true, name)) / sigma
            squares[name] += (off / (len(label.symbols) if name == "energy" else 1)).tolist()
            weights[name] += [label.weight * getattr(label, f"{name}_weight")] * len(off)
    e, f, s = (np.average(np.square(squares[name]), weights=weights[name]) for name in squares)
    expected = 0.5 * (1.0 * e + 0.5 * f + 2.0 * s)
    replay = replay_of(labels)
    value, gradient = replay.gradient(replay.moved.start, ())
    assert value == pytest.approx(expected, rel=1e-7)
    assert gradient.shape == replay.moved.start.shape


@pytest.mark.parametrize(
    "names", [pytest.param(("lora:2",), marks=pytest.mark.slow), ("layers.1.readout", "layers.0.linear")]
)
def test_the_derivative(truth: list[LabelledFrame], names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Against central differences along a direction, in float64, over several batches."""
    monkeypatch.setattr("refine.learning.replay.ATOMS", 12)
    replay = replay_of(noisy(truth), truth, names=names)
    change, rng = replay.moved, np.random.default_rng(3)
    point = change.start + 0.1 * change.units * rng.normal(size=len(change.start))
    direction = change.units * rng.normal(size=len(change.start))
    _, gradient = replay.gradient(point, ())
    up, down = (replay.gradient(point + sign * 1e-4 * direction, ())[0] for sign in (1, -1))
    assert gradient @ direction == pytest.approx((up - down) / 2e-4, rel=1e-5)


def test_own_labels_are_those_of_the_unchanged_model(truth: list[LabelledFrame]) -> None:
    """The term is nothing at the start, and that of the labels by the calculator elsewhere; sampled frames count."""
    by_label, own = replay_of(truth), replay_of([], [bare(frame) for frame in truth])
    start = own.moved.start
    value, gradient = own.gradient(start, ())
    assert value == pytest.approx(0.0, abs=1e-12)
    assert np.abs(gradient * own.moved.units).max() < 1e-6
    away = start + 0.2 * own.moved.units * np.random.default_rng(1).normal(size=len(start))
    assert own.gradient(away, ())[0] == pytest.approx(by_label.gradient(away, ())[0], rel=1e-6)


@pytest.mark.slow
def test_frames_kept_apart_and_no_new_programs() -> None:
    """A share of each kind, evenly taken from the sample; at other parameters nothing is compiled."""
    system = system_of(CELLS["cubic"])
    frames = (frames_of(system, 9),)
    settings = replace(SETTINGS, share=0.4, sampled=5)
    labelled = noisy(labelled_by(CHECKPOINT, [atoms_of("cubic")] * 3))
    replay = replay_of(labelled, settings=settings, systems=(system,))
    change = replay.moved
    away = change.start + 0.1 * change.units * np.random.default_rng(1).normal(size=len(change.start))
    first, _ = replay.gradient(change.start, frames)
    before = replay.kept(change.start, frames)
    programs = replay.compilations
    moved_on, gradient = replay.gradient(away, frames)
    after = replay.kept(away, frames)
    assert replay.compilations == programs, "compiled again along a run"
    assert [(one.kind, one.learnt, one.kept) for one in before] == [(LABELLED, 2, 1), (SAMPLED, 3, 2)]
    assert before[1].errors.forces == pytest.approx(0.0, abs=1e-9)
    assert after[1].errors.forces is not None
    assert after[1].errors.forces > 1e-6

    again = replay_of(labelled, settings=settings, systems=(system,))  # as a run that goes on makes it
    same, slope = again.gradient(away, (frames_of(system, 9),))
    assert same == moved_on != first
    np.testing.assert_array_equal(slope, gradient)
    assert again.kept(away, frames) == after


TAKES = (BoxInput("total_charge", 2), BoxInput("total_spin", 0))
BOXES = ((0, 1), (-1, 2), (0, 3))


def charged(checkpoint: Checkpoint) -> list[LabelledFrame]:
    """One molecule with charges and spins of its own, by the calculator."""
    found = []
    for charge, spin in BOXES:
        atoms = atoms_of("a molecule")
        atoms.info |= {"charge": charge, "spin": spin}
        found += [replace(frame, charge=charge, spin=spin) for frame in labelled_by(checkpoint, [atoms])]
    return found


def test_frames_have_charges_and_spins_of_their_own() -> None:
    """Labels that the calculator gives under each are met at the start, and the derivative is right away from it; the
    sampled frames have those of the study; the unchanged model's own labels are the same."""
    checkpoint = random_checkpoint(7, channels=2, max_ell=1, layers=1, r_max=4.0, inputs=TAKES)
    truth = charged(checkpoint)
    energies = [frame.energy or 0.0 for frame in truth]
    assert min(abs(a - b) for a, b in itertools.combinations(energies, 2)) > 1e-3
    change = moved(checkpoint, ["project", "inputs"], ("O", "H"), where="here")
    replay = Replay(checkpoint, change, None, truth, [], (), SETTINGS)
    value, gradient = replay.gradient(change.start, ())
    assert value == pytest.approx(0.0, abs=1e-9)
    rng = np.random.default_rng(3)
    point = change.start + 0.1 * change.units * rng.normal(size=len(change.start))
    direction = change.units * rng.normal(size=len(change.start))
    value, gradient = replay.gradient(point, ())
    up, down = (replay.gradient(point + sign * 1e-4 * direction, ())[0] for sign in (1, -1))
    assert gradient @ direction == pytest.approx((up - down) / 2e-4, rel=1e-5)
    own = Replay(checkpoint, change, None, [], [bare(frame) for frame in truth], (), SETTINGS)
    assert own.gradient(point, ())[0] == pytest.approx(value, rel=1e-6)

    for changes, words in (
        ({"charge": 7}, "frame 0: charge = 7 is not known to the model; from -2 to 2"),
        ({"spin": 1.5}, "frame 0: spin is 1.5, which is no whole number"),
    ):
        with pytest.raises(InputError, match=words):
            Replay(checkpoint, change, None, [replace(truth[0], **changes)], [], (), SETTINGS).check()


def test_sampled_frames_have_the_charge_and_spin_of_the_study() -> None:
    checkpoint = random_checkpoint(7, channels=2, max_ell=1, layers=1, r_max=4.0, inputs=TAKES)
    system = system_of(CELLS["cubic"])
    change = moved(checkpoint, ["project"], system.species, where="here")
    settings = replace(SETTINGS, sampled=2)
    replay = Replay(checkpoint, change, None, [], [], (system,), settings, ChargeAndSpin(-1, 2))
    taken = replay._taken((frames_of(system, 3),))
    assert {(frame.charge, frame.spin) for frame in taken} == {(-1, 2)}
    assert {inputs_of(checkpoint, frame) for frame in taken} == {(1, 2)}


def test_another_zero_is_refused(truth: list[LabelledFrame]) -> None:
    shifted = [replace(frame, energy=(frame.energy or 0.0) + 3.0 * len(frame.symbols)) for frame in truth]
    with pytest.raises(InputError, match=r"off by 3 eV per atom.*replay\.energy = 0"):
        replay_of(shifted).check()
    replay_of(shifted, settings=replace(SETTINGS, weights=Terms(0.0, 1.0, 1.0))).check()
    replay_of(truth).check()


def test_elements_that_the_model_does_not_know(truth: list[LabelledFrame]) -> None:
    with pytest.raises(InputError, match="frame 1: the model does not know U"):
        replay_of([replace(truth[-1], symbols=("U", "H"))])


def test_some_frames_of_every_kind_are_learnt_from(truth: list[LabelledFrame]) -> None:
    """However large the share that is kept apart."""
    replay = replay_of(truth, settings=replace(SETTINGS, share=0.99))
    (one,) = replay.kept(replay.moved.start, ())
    assert (one.kind, one.learnt, one.kept) == (LABELLED, 1, 1)
