"""Named sets: numbers that are known of them, what they refuse, and the templates."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.optimize import minimize_scalar

from refine.errors import InputError
from refine.potentials.bases import BASES, base_of
from refine.potentials.classical import PairForm, base_potential
from refine.potentials.classical.base import ClassicalModel as Model
from refine.potentials.classical.coulomb import Coulomb
from refine.potentials.classical.sets import SETS
from refine.study.schema import ModelFile, reference_markdown
from refine.system import make_system
from tests.potentials.classical.direct import direct

FEO, FEO_PAIRS = ("Fe", "O"), (("Fe", "Fe"), ("Fe", "O"), ("O", "O"))
SIO2, SIO2_PAIRS = ("O", "Si"), (("O", "O"), ("O", "Si"), ("Si", "Si"))
ROCK_SALT = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]) / 2
TEMPLATES = [name for name, one in SETS.items() if one.empty]


def iron_oxide(name: str, cutoff: float, ion: str = "Fe2+", **more: object) -> PairForm:
    return base_potential(name, FEO, FEO_PAIRS, {}, cutoff, truncation="none", ions={"Fe": ion}, **more)


@pytest.mark.parametrize(
    ("name", "cutoff", "a0", "energy"),
    [
        ("pedone-2006", 15.0, 4.2986, -16.5703),
        ("pedone-2006", 5.5, 4.3097, -16.5272),
        ("guillot-sator-2007", 12.0, 4.3737, -9.7252),
    ],
)
def test_rock_salt(name: str, cutoff: float, a0: float, energy: float) -> None:
    """Lattice constant (Å) and energy of a formula unit (eV) at 0 K, potentials cut off and not shifted."""
    potential = iron_oxide(name, cutoff)
    charges = dict(zip(FEO, potential.coulomb.charges, strict=True))
    exact = Coulomb.of(FEO, FEO_PAIRS, charges, cutoff, "ewald", tolerance=1e-10)
    potential = replace(potential, coulomb=exact)

    def per_unit(a: float) -> float:
        return direct(potential, make_system({"Fe": 4, "O": 4}, a * np.eye(3), a * ROCK_SALT))[0] / 4

    # near the minimum, where no shell of neighbours crosses the cutoff
    found = minimize_scalar(per_unit, bounds=(a0 - 0.01, a0 + 0.01), method="bounded", options={"xatol": 1e-5})
    assert found.x == pytest.approx(a0, abs=1e-4)
    assert found.fun == pytest.approx(energy, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "r0", "energy"), [("pedone-2006", 1.727, -10.528), ("guillot-sator-2007", 1.868, -6.184)]
)
def test_isolated_pair(name: str, r0: float, energy: float) -> None:
    """The minimum of two ions Fe2+ and O alone."""
    potential = iron_oxide(name, 12.0)
    found = minimize_scalar(lambda r: potential.interaction([r])[1, 0], bounds=(1.3, 3.0), method="bounded")
    assert found.x == pytest.approx(r0, abs=1e-3)
    assert found.fun == pytest.approx(energy, abs=1e-3)


def test_bks_is_that_of_jax_md() -> None:
    """Pair functions to 1e-6, in float64; its energies are in kcal/mol."""
    import jax
    from jax_md import energy

    cutoff, r = 8.0, np.linspace(1.2, 7.9, 50)
    own = base_potential("bks", SIO2, SIO2_PAIRS, {}, cutoff, truncation="none").energy(r)
    numbers = dict(energy.BKS_SILICA_DICT)
    alpha = numbers.pop("coulomb_alpha")
    with jax.enable_x64(True):
        for row, (i, j) in enumerate([(1, 1), (0, 1), (0, 0)]):
            theirs = energy.bks(
                r, coulomb_alpha=alpha, cutoff=cutoff, **{key: table[i][j] for key, table in numbers.items()}
            )
            np.testing.assert_allclose(own[row], np.asarray(theirs) / 23.060548, rtol=1e-6, atol=1e-6)


def test_an_ambiguous_ion_is_asked_for() -> None:
    with pytest.raises(InputError, match=r'ions = \{ Fe = "Fe2\+" \}'):
        base_potential("pedone-2006", FEO, FEO_PAIRS, {}, 8.0)
    with pytest.raises(InputError, match=r"Fe may be Fe2\+ or Fe3\+"):
        base_potential("pedone-2006", FEO, FEO_PAIRS, {}, 8.0, ions={"Fe": "Fe4+"})


B2O3, B2O3_PAIRS = ("B", "O", "Si"), tuple(itertools.combinations_with_replacement(("B", "O", "Si"), 2))
BORON = {"D": {"B-O": 0.23}, "a": {"O-B": 2.5}, "r0": {"B-O": 1.9}, "C": {"B-O": 1.0}}
"""No published numbers."""


def test_an_ion_is_added_to_a_set_by_its_charge_and_the_parameters_of_its_pairs() -> None:
    own = base_potential("pedone-2006", B2O3, B2O3_PAIRS, BORON, 8.0, charges={"B": 1.8})
    assert own.coulomb.charges.tolist() == [1.8, -1.2, 2.4]
    row = B2O3_PAIRS.index(("B", "O"))
    assert (own.D[row], own.a[row], own.r0[row], own.C[row]) == (0.23, 2.5, 1.9, 1.0)
    silica = base_potential("pedone-2006", SIO2, SIO2_PAIRS, {}, 8.0)
    r = np.linspace(1.0, 8.0, 50)
    for pair in SIO2_PAIRS:
        np.testing.assert_array_equal(own.energy(r)[B2O3_PAIRS.index(pair)], silica.energy(r)[SIO2_PAIRS.index(pair)])


@pytest.mark.parametrize(
    ("parameters", "options", "words"),
    [
        ({}, {}, r"\[model\] base: pedone-2006 has no B; .*charges = \{ B = \.\.\. \} and D, C, a, r0 of its pairs in"),
        (BORON, {}, "has no B"),
        (
            {},
            {"charges": {"B": 1.8}},
            r'B-O has no D and no C: nothing keeps the two apart; give D, C, a, r0 for "B-O"',
        ),
        (BORON | {"a": {}}, {"charges": {"B": 1.8}}, r'parameters\] a: no value for B-O; give "B-O"'),
        (
            BORON,
            {"charges": {"B": 1.8}, "ions": {"B": "B3+"}},
            r"\[model\] ions: pedone-2006 has no B3\+; leave it out",
        ),
        (BORON | {"rho": 0.2}, {"charges": {"B": 1.8}}, r"no parameter 'rho'; in u\(r\) = D \{.* \+ C/r\^12 it takes"),
    ],
)
def test_an_ion_that_lacks_numbers_is_named_with_what_it_lacks(parameters, options, words) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        base_potential("pedone-2006", B2O3, B2O3_PAIRS, parameters, 8.0, **options)
    assert "\n" not in str(refusal.value)


def test_tosi_and_fumi_are_one_salt_at_a_time() -> None:
    """And sodium chloride as J. Anwar, D. Frenkel and M. G. Noro, J. Chem. Phys. 118, 728 (2003) have it, kJ/mol."""
    species, pairs = ("Na", "Cl"), (("Na", "Na"), ("Na", "Cl"), ("Cl", "Cl"))
    salt = base_potential("tosi-fumi-1964", species, pairs, {}, 10.0)
    kj = 1 / 96.4853
    np.testing.assert_allclose(salt.A, np.array([25.4435, 20.3548, 15.2661]) * kj, rtol=1e-4)
    np.testing.assert_allclose(salt.sigma, [2.340, 2.755, 3.170])
    np.testing.assert_allclose(1 / salt.rho, 3.1546, rtol=1e-4)
    np.testing.assert_allclose(salt.C, np.array([101.1719, 674.4793, 6985.6786]) * kj, rtol=1e-4)
    np.testing.assert_allclose(salt.D, np.array([48.1771, 837.0770, 14031.5785]) * kj, rtol=1e-4)
    for wrong in (("Na", "K", "Cl"), ("Na", "K")):
        pairs = tuple(itertools.combinations_with_replacement(wrong, 2))
        with pytest.raises(InputError, match=r'one salt at a time.*none of Na, K.*LiF, .*"born-mayer-huggins"'):
            base_potential("tosi-fumi-1964", wrong, pairs, {}, 10.0)


TETER = {
    "O": (46.462, -0.32605, 3.430),
    "Si": (28.950, -3.059, 3.9320),
    "Al": (51.728, -10.197, 3.1790),
    "Fe2+": (104.203, -32.110, 2.670),
    "Fe3+": (260.983, -340.739, 2.115),
    "Na": (48.264, -4.730, 2.8930),
    "K": (310.841, -78.124, 2.4680),
    "Mg": (54.235218, -11.69947, 2.8397537),
    "Ca": (74.737, -3.991, 3.1660),
    "Sr": (189.853, -23.951, 2.7310),
    "Zr": (108.655, -8.481, 3.3050),
    "P": (28.568, -3.379, 4.6540),
}
"""B, D and n as the papers print them."""


@pytest.mark.parametrize("ion", TETER)
def test_the_inside_of_a_teter_potential_is_that_of_the_papers(ion: str) -> None:
    """It follows from numbers that stand for themselves, so that each checks the others: to 0.6 %, what r0 with three
    digits leaves, and to 1e-5 of magnesium, which has five."""
    element = ion.rstrip("+23")
    species = tuple(dict.fromkeys((element, "O")))
    pairs = tuple(itertools.combinations_with_replacement(species, 2))
    options = {"ions": {element: ion}} if ion != element else {}
    form = base_potential("du-teter", species, pairs, {}, 8.0, **options)
    row = pairs.index((element, "O"))
    np.testing.assert_allclose([x[row] for x in form.inside], TETER[ion], rtol=1e-5 if ion == "Mg" else 6e-3)
    at = form.r0[row] * np.array([1 - 1e-7, 1 + 1e-7])
    (inner, outer), (slope, beyond) = (x[row] for x in form.short(at))
    assert inner == pytest.approx(outer, rel=1e-5)
    assert slope == pytest.approx(beyond, rel=1e-5)


def test_an_r0_in_the_hole_of_a_buckingham_is_refused() -> None:
    numbers = {"A": 1000.0, "rho": 0.2, "C": 100.0, "r0": {"Si-O": 0.5}}
    with pytest.raises(InputError, match=r"r0: O-Si = 0.5 lies where the Buckingham turns over"):
        base_potential("buckingham-teter", SIO2, SIO2_PAIRS, numbers, 8.0).energy([2.0])


def test_a_charged_box_is_refused_with_charges_that_mend_it() -> None:
    counts = (49, 51)
    with pytest.raises(InputError, match=r"charge of -2\.4 e.*charges = \{ Fe = 1\.24898, O = -1\.2 \}") as refusal:
        iron_oxide("pedone-2006", 8.0).coulomb.check_neutral(counts)
    assert "\n" not in str(refusal.value)
    iron_oxide("pedone-2006", 8.0, charges={"Fe": 1.24898, "O": -1.2}).coulomb.check_neutral(counts)
    # three digits are enough: a background takes the thousandth of a charge that is left
    iron_oxide("pedone-2006", 8.0, charges={"Fe": 1.249, "O": -1.2}).coulomb.check_neutral(counts)


def test_a_parameter_of_a_set_can_be_replaced() -> None:
    potential = base_potential("bks-1990", SIO2, SIO2_PAIRS, {"C": {"Si-O": 100.0}}, 8.0)
    np.testing.assert_allclose(potential.C, [175.0, 100.0, 0.0])


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_refuse_until_they_are_filled_in(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} comes without numbers.*charges of Fe, O") as refusal:
        base_potential(name, FEO, FEO_PAIRS, {}, 8.0)
    assert "A (eV), " in str(refusal.value)
    assert "rho (Å)" in str(refusal.value)
    numbers = {"A": {"Fe-O": 1000.0, "O-O": 2000.0}, "rho": 0.3}
    potential = base_potential(name, FEO, FEO_PAIRS, numbers, 8.0, charges={"Fe": 1.0, "O": -1.0})
    assert np.isfinite(potential.energy([2.0])).all()
    if SETS[name].form == "buckingham-patched":  # a Born-Mayer where there is no C
        born = base_potential("born-mayer", FEO, FEO_PAIRS, numbers, 8.0, charges={"Fe": 1.0, "O": -1.0})
        np.testing.assert_array_equal(potential.energy([2.0]), born.energy([2.0]))
    with pytest.raises(InputError, match="has no ions"):
        base_potential(name, FEO, FEO_PAIRS, numbers, 8.0, charges={"Fe": 1.0, "O": -1.0}, ions={"Fe": "Fe2+"})


def test_a_damped_sum_has_the_cutoff_of_its_set() -> None:
    """Its forces depend on the cutoff at every distance, so that of a correction must not become it by itself."""
    read = base_of("bks").read
    assert read(Model(base="bks"), SIO2, SIO2_PAIRS, 7.0).cutoff == 8.0
    assert read(Model(base="bks", r_cut=7.5), SIO2, SIO2_PAIRS, 7.0).cutoff == 7.5
    assert read(Model(base="bks-1990"), SIO2, SIO2_PAIRS, 7.0).cutoff == 7.0


def test_a_many_body_potential_ends_by_itself() -> None:
    with pytest.raises(ValidationError, match="base = 'tersoff' takes no 'truncation'; a classical base has it"):
        ModelFile.model_validate({"label": "x", "model": {"base": "tersoff", "truncation": "none"}})


def test_named_sets_are_on_the_reference_page() -> None:
    page = reference_markdown()
    assert all(f'`"{name}"`' in page for name in BASES.entries)
