"""Lennard-Jones on the absolute scale and its parameters from a study file."""

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.classical import LennardJones, base_potential

PAIRS = (("Ar", "Ar"),)
MIX = (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr"))


def test_minimum_depth_and_place():
    lj = LennardJones.from_parameters(("Ar",), PAIRS, {"epsilon": 0.010324, "sigma": 3.405}, 8.5)
    r = 2 ** (1 / 6) * 3.405
    assert lj.energy([r])[0, 0] == pytest.approx(-0.010324, rel=1e-12)
    assert lj.derivative([r])[0, 0] == pytest.approx(0.0, abs=1e-12)
    assert lj.energy([3.405])[0, 0] == pytest.approx(0.0, abs=1e-14)


def test_derivative_and_smooth_end():
    lj = LennardJones.from_parameters(("Ar",), PAIRS, {"epsilon": 0.010324, "sigma": 3.405}, 8.5)
    r, step = np.linspace(2.5, 9.0, 400), 1e-5
    slope = (lj.energy(r + step) - lj.energy(r - step)) / (2 * step)
    np.testing.assert_allclose(lj.derivative(r), slope, rtol=1e-6, atol=1e-9)
    assert np.all(lj.energy([8.5, 9.0]) == 0.0)
    assert np.all(lj.derivative([8.5, 9.0]) == 0.0)


def test_lorentz_berthelot_and_explicit_pairs():
    parameters = {"epsilon": {"Ar": 0.01, "Kr": 0.04}, "sigma": {"Ar": 3.4, "Kr": 3.6, "Kr-Ar": 3.45}}
    lj = LennardJones.from_parameters(("Ar", "Kr"), MIX, parameters, 8.5)
    np.testing.assert_allclose(lj.epsilon, [0.01, 0.02, 0.04])
    np.testing.assert_allclose(lj.sigma, [3.4, 3.45, 3.6])


def test_an_element_without_the_interaction_has_an_epsilon_of_zero() -> None:
    """Hydrogen of water: no energy with itself, none with argon, and the other pairs as they were."""
    pairs = (("Ar", "Ar"), ("Ar", "H"), ("H", "H"))
    lj = LennardJones.from_parameters(("Ar", "H"), pairs, {"epsilon": {"Ar": 0.01, "H": 0}, "sigma": 3.4}, 8.5)
    energy = lj.energy(np.linspace(2.5, 8.0, 20))
    assert np.all(energy[1:] == 0.0)
    assert np.any(energy[0] < -0.005)


def test_the_sigma_of_an_element_without_the_interaction_may_be_zero() -> None:
    """As programs of molecules write the hydrogen of water; that of another is refused with what may be done."""
    pairs = (("H", "H"), ("H", "O"), ("O", "O"))
    numbers = {"epsilon": {"O": 0.0067, "H": 0.0}, "sigma": {"O": 3.166, "H": 0.0}}
    water = LennardJones.from_parameters(("H", "O"), pairs, numbers, 8.5)
    alone = LennardJones.from_parameters(("O",), (("O", "O"),), {"epsilon": 0.0067, "sigma": 3.166}, 8.5)
    r = np.linspace(water.inner, 8.0, 20)
    assert np.all(water.energy(r)[:2] == 0.0)
    np.testing.assert_array_equal(water.energy(r)[2:], alone.energy(r))
    numbers["epsilon"]["H"] = 0.001
    with pytest.raises(InputError, match=r"\[model.parameters\] sigma: H = 0.0 is not above zero; .* epsilon = 0"):
        LennardJones.from_parameters(("H", "O"), pairs, numbers, 8.5)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"epsilon": 1.0}, {"epsilon": 1.0, "sigma": -1.0}, {"epsilon": {"Ar": 1.0}, "sigma": 3.0}, {"eps": 1.0}],
)
def test_bad_parameters_are_named(parameters):
    with pytest.raises(InputError):
        LennardJones.from_parameters(("Ar", "Kr"), MIX, parameters, 8.5)


def test_unknown_base():
    with pytest.raises(InputError, match="lennard-jones"):
        base_potential("lennard-jone", ("Ar",), PAIRS, {}, 8.5)


SILICA, SILICA_PAIRS = ("Si", "O"), (("Si", "Si"), ("Si", "O"), ("O", "O"))
NUMBERS = {
    "born-mayer": {"A": {"Si-O": 1000.0, "O-O": 2000.0}, "rho": 0.3},
    "buckingham": {"A": {"Si-O": 18003.7, "O-O": 1388.8}, "rho": {"Si-O": 0.2052, "O-O": 0.3623}, "C": 150.0},
    "buckingham-r24": {"A": 1000.0, "rho": 0.3, "C": {"Si-O": 50.0, "O-O": 80.0, "Si-Si": 0.0}, "D": 100.0},
    "morse": {"D": {"Si-O": 0.34, "O-O": 0.04}, "a": 2.0, "r0": 2.5, "C": {"O-O": 22.0}},
}
NUMBERS["buckingham"]["C"] = {"Si-O": 133.5, "O-O": 175.0}
NUMBERS["buckingham-teter"] = {
    "A": {"Si-O": 13702.905, "O-O": 2029.2204},
    "rho": {"Si-O": 0.193817, "O-O": 0.34364},
    "C": {"Si-O": 54.681, "O-O": 192.58},
    "r0": {"Si-O": 1.168, "O-O": 1.906},
}
NUMBERS["born-mayer-huggins"] = {
    "A": {"Si-O": 0.2, "O-O": 0.15},
    "sigma": {"Si-O": 2.3, "O-O": 2.8},
    "rho": 0.3,
    "C": {"O-O": 20.0},
    "D": {"Si-O": 3.0},
}
NUMBERS["buckingham-patched"] = NUMBERS["buckingham"]


@pytest.mark.parametrize("coulomb", ["ewald", "dsf"])
@pytest.mark.parametrize("truncation", ["switch", "none"])
@pytest.mark.parametrize("name", NUMBERS)
def test_every_form_has_its_derivative(name, truncation, coulomb):
    potential = base_potential(
        name,
        SILICA,
        SILICA_PAIRS,
        NUMBERS[name],
        7.0,
        truncation=truncation,
        charges={"Si": 2.4, "O": -1.2},
        coulomb=coulomb,
    )
    r, step = np.linspace(0.7, 6.99, 500), 1e-5
    slope = (potential.energy(r + step) - potential.energy(r - step)) / (2 * step)
    np.testing.assert_allclose(potential.derivative(r), slope, rtol=1e-5, atol=1e-6)


def test_the_patch_changes_nothing_outside_and_repels_inside():
    options = {"charges": {"Si": 2.4, "O": -1.2}}
    bare = base_potential("buckingham", SILICA, SILICA_PAIRS, NUMBERS["buckingham"], 7.0, **options)
    patched = base_potential("buckingham-patched", SILICA, SILICA_PAIRS, NUMBERS["buckingham"], 7.0, **options)
    for row, barrier in ((1, 1.19), (2, 1.44)):  # Å, as Vollmayr, Kob and Binder have them for BKS
        r = np.linspace(barrier + 0.02, 7.0, 200)
        np.testing.assert_array_equal(patched.energy(r)[row], bare.energy(r)[row])
        inside = np.linspace(0.05, barrier - 0.02, 200)
        assert np.all(np.diff(patched.interaction(inside)[row]) < 0.0)
        assert bare.interaction([0.8 * barrier])[row, 0] < bare.interaction([barrier])[row, 0]
        across = patched.derivative([barrier - 0.02, barrier + 0.02])[row]
        assert np.ptp(across) < 0.1 * abs(patched.derivative([0.5 * barrier])[row, 0])


def test_the_table_of_a_bare_buckingham_reaches_into_the_hole():
    """A fall must be a fall: what the sampler sees below the barrier is the attraction."""
    bare = base_potential(
        "buckingham", SILICA, SILICA_PAIRS, NUMBERS["buckingham"], 7.0, charges={"Si": 2.4, "O": -1.2}
    )
    assert bare.inner < 1.19
    assert bare.interaction([bare.inner])[1, 0] < bare.interaction([1.19])[1, 0] - 20.0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"A": {"Si-O": 1.0}}, "no value for Si-O"),
        ({"A": {"Si-O": 1.0}, "rho": {"Si-O": 0.0}}, "not above zero"),
        ({"A": {"Si-O": -1.0}, "rho": 1.0}, "not a number above zero"),
        ({"A": {"Si-C": 1.0}, "rho": 1.0}, "no pair of the system"),
        ({"A": {"Si-O": 1.0, "O-Si": 2.0}, "rho": 1.0}, "given twice"),
        ({"A": {"O-O": 1.0}, "rho": 1.0}, "Si-O has no A: nothing keeps the two apart"),
        ({"A": 1.0, "rho": 1.0, "epsilon": 1.0}, "born-mayer has no parameter 'epsilon'"),
    ],
)
def test_bad_numbers_of_pairs_are_named(parameters, words):
    with pytest.raises(InputError, match=words):
        base_potential("born-mayer", SILICA, SILICA_PAIRS, parameters, 7.0, charges={"Si": 2.4, "O": -1.2})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"charges": {"Si": 2.4}}, "no charge for O"),
        ({"charges": {"Ge": 2.4}}, "Ge is no species"),
        ({"coulomb": "ewald"}, "needs charges"),
        ({"ions": {"Si": "Si4+"}}, "has no ions"),
        ({"damping": 0.2, "charges": {"Si": 2.4, "O": -1.2}}, "damping"),
        ({"damping": 0.2}, "damping"),
        ({"pair_forms": {"Si-O": {"form": "morse"}}}, "one form for all pairs"),
    ],
)
def test_contradictions_are_named(options, words):
    with pytest.raises(InputError, match=words):
        base_potential("morse", SILICA, SILICA_PAIRS, NUMBERS["morse"], 7.0, **options)


@pytest.mark.parametrize(
    ("forms", "words"),
    [
        ({}, "is missing"),
        ({"Si-O": {"form": "morse", "D": 1.0, "a": 1.0, "r0": 2.0}}, "Si-Si has no form"),
        ({"Si-C": {"form": "morse"}}, "no pair of the system"),
        ({"Si-O": {"form": "mors"}}, "'mors' is none"),
        ({"Si-O": {"form": "morse", "D": 1.0}}, r'\[model.pairs\] "Si-O" a: no value for Si-O'),
    ],
)
def test_bad_forms_by_pair_are_named(forms, words):
    with pytest.raises(InputError, match=words):
        base_potential("by-pair", SILICA, SILICA_PAIRS, {}, 7.0, pair_forms=forms)
