"""The wall of a correction: not felt where atoms are, in sample, measurement or later frames; and r_min likewise."""

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.refinement.walls import closest, innermost, measured_onset, refuse_r_min, walls
from refine.sampling.frames import Frames
from refine.system import Box

KT = 0.1
COUNTS = (14, 14, 35)  # 63 atoms of a Ge-Sb-Te box
DENSITY = 0.033


def box() -> Box:
    edge = (sum(COUNTS) / DENSITY) ** (1 / 3)
    return Box(("Ge", "Sb", "Te"), COUNTS, edge**3, 0.02 * np.arange(int(edge / 2 / 0.02) + 1), np.eye(3) * edge)


def distribution(r: np.ndarray, start: float, softness: float) -> np.ndarray:
    """g(r) of a flank at `start`, the steeper the further in, as a pair potential A exp(-r/softness) makes it."""
    return np.exp(-np.exp(-(r - start) / softness)) * (1 + np.exp(-((r - start - 0.5) ** 2) / 0.1))


def sample(frames: int, seed: int, softness: float, shift: float = 0.0) -> Frames:
    """Frames of independent pairs with such g(r), pair k beginning at 2.4 + 0.1 k Å."""
    one, rng = box(), np.random.default_rng(seed)
    g = np.array([distribution(one.centres, 2.4 + 0.1 * k + shift, softness) for k in range(len(one.pairs))])
    counts = rng.poisson(one.ideal_counts * g, (frames, *g.shape)).astype(np.float32)
    nothing = np.zeros(frames)
    return Frames(counts, nothing, nothing, nothing + 1, nothing.astype(int), one.r_max, COUNTS, one.volume)


def correction(core: np.ndarray, wall: np.ndarray) -> PairCorrection:
    zero = PairCorrection.zero(box().pairs, SplineBasis(1.5, 5.5, 12), stiffness=1000 * KT)
    return zero.with_core(core, wall)


@pytest.mark.parametrize("softness", [0.06, 0.12, 0.2])
def test_frames_of_the_base_do_not_feel_the_wall(softness: float) -> None:
    """Wall from 60 frames of 63 atoms, energy on 5,000 others: below 0.01 kT a frame, for each of ten samples.

    The base's own sample does not feel it at all. A wall from a quantile of counts (20) gives 1 to 6 kT.
    """
    later = sample(5000, 99, softness)
    for seed in range(10):
        first = sample(60, seed, softness)
        wall = walls([first], np.full(6, np.inf))
        assert (wall < innermost([first])).all()
        walled = correction(innermost([first]), wall)
        energy = walled.repulsion(later.centres)[0] / KT
        for frames, limit in ((first, 0.0), (later, 0.01)):
            assert np.einsum("fpb,pb->f", frames.counts, energy).mean() <= limit


def test_a_wall_is_there_all_the_same() -> None:
    """Not more than half an ångström below the innermost pair, where it stops a slope of 30 kT/Å."""
    first = sample(60, 0, 0.12)
    wall = walls([first], np.full(6, np.inf))
    assert (wall > innermost([first]) - 0.51).all()
    assert (correction(innermost([first]), wall).repulsion(wall - 0.5)[0].diagonal() > 100 * KT).all()


def test_the_measurement_keeps_the_wall_away() -> None:
    """Where measured pairs come nearer than sampled ones, the wall begins with them (molten CaCl2: 3.8 and 3.0 Å)."""
    first = sample(60, 0, 0.06, shift=1.0)
    r = 0.05 * np.arange(20, 200)
    onset = measured_onset(r, distribution(r, 2.4, 0.06))
    assert 2.2 < onset < 2.4
    onsets = np.array([onset, *[np.inf] * 5])
    far = walls([first], np.full(6, np.inf))
    near = walls([first], onsets)
    assert near[0] == pytest.approx(onset)
    assert far[0] > onset + 0.3
    np.testing.assert_array_equal(near[1:], far[1:])


def test_the_onset_is_not_in_the_ripple_of_a_transform() -> None:
    r = 0.05 * np.arange(20, 200)
    ripple = 0.3 * np.sin(20.0 * r) * (r < 2.2)
    assert measured_onset(r, distribution(r, 2.4, 0.06) + ripple) > 2.1
    assert measured_onset(r, np.zeros(len(r))) == np.inf


def test_a_pair_that_was_never_seen_has_no_wall() -> None:
    first = sample(60, 0, 0.12)
    first.counts[:, 2] = 0.0
    wall = walls([first], np.full(6, np.inf))
    assert wall[2] == 0.0
    assert innermost([first])[2] == np.inf
    assert (np.delete(wall, 2) > 1.5).all()


def test_no_correction_is_none() -> None:
    """The base model is sampled with it: bonds of any length, and nothing is added to them."""
    zero = PairCorrection.zero(box().pairs, SplineBasis(1.5, 5.5, 12), stiffness=1000 * KT)
    r = np.linspace(0.1, 6.0, 600)
    assert not zero.energy(r).any()
    assert not zero.derivative(r).any()


def test_an_r_min_inside_sampled_pairs_is_refused_with_the_one_to_use() -> None:
    zero = PairCorrection.zero((("O", "O"), ("H", "O"), ("H", "H")), SplineBasis(1.5, 5.5, 12), stiffness=1.0)
    refuse_r_min(zero, np.array([2.4, 1.5, np.inf]))
    with pytest.raises(InputError, match=r"r_min = 1.5 Å lies inside .*\(H-O from 0.85 Å\); use r_min = 0.5"):
        refuse_r_min(zero, np.array([2.4, 0.85, 1.6]))
    others = PairCorrection.zero(zero.pairs, zero.basis, active=(True, False, True), stiffness=1.0)
    refuse_r_min(others, np.array([2.4, 0.85, 1.6]))


def test_shortest_distances_in_a_triclinic_cell() -> None:
    """Against all pairs under all 27 images."""
    rng, cell = np.random.default_rng(3), np.array([[9.0, 0.0, 0.0], [3.0, 8.0, 0.0], [-2.0, 1.0, 8.5]])
    positions = rng.random((9, 3)) @ cell
    images = np.array([[a, b, c] for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]) @ cell
    d = np.linalg.norm(positions[:, None, None] - positions[None, :, None] + images, axis=-1).min(axis=-1)
    d[np.diag_indices(9)] = np.inf
    expected = [d[:4, :4].min(), d[:4, 4:].min(), d[4:, 4:].min()]
    expected = [x if x <= 3.0 else np.inf for x in expected]
    np.testing.assert_allclose(closest(positions, cell, (4, 5), 3.0), expected, rtol=1e-6)
