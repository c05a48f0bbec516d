"""A trajectory whose atoms are labelled by their sites, against curves that know them apart."""

from pathlib import Path

import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.extended_xyz import frame_text
from refine.sampling.structure_files import read_structure
from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.tasks.forward import forward
from tests.tasks.test_forward_isotopes import B_1H, B_2H, B_O, MODEL, columns
from tests.trajectories import frames, write_extxyz

B_C = 6.6460

SYSTEM = """
title = "Half of the hydrogen is of another kind"
[system]
species = {{ C = 20, {hydrogen}, O = 20 }}
number_density = 0.1
[[states]]
name = "a"
temperature = 300.0
"""

CURVE = """
[[data]]
name = "{name}"
role = "predict"
q_range = [0.4, 18.0]
quantity = "F(Q)"
normalisation = "keen"
radiation = "neutron"
isotopes = {isotopes}
"""

SITES = '"H:methyl" = 60, "H:hydroxyl" = 20'


def study(folder: Path, hydrogen: str, **isotopes: str) -> StudyConfig:
    curves = "".join(CURVE.format(name=name, isotopes=shares) for name, shares in isotopes.items())
    path = folder / "study.toml"
    path.write_text(SYSTEM.format(hydrogen=hydrogen) + curves + MODEL)
    return StudyConfig.from_toml(path)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Two frames whose hydrogen is called HM and HO."""
    cell = np.eye(3) * (120 / 0.1) ** (1 / 3)
    images = frames(2, {"C": 20, "He": 60, "Ne": 20, "O": 20}, cell)
    path = write_extxyz(tmp_path / "methanol.xyz", images)
    path.write_text(path.read_text().replace("He ", "HM ").replace("Ne ", "HO "))
    return path


LABELS = {"HM": "H:methyl", "HO": "H:hydroxyl"}


@pytest.mark.slow
def test_sites_scatter_by_their_own_isotopes(labelled: Path, tmp_path: Path) -> None:
    """Each curve is the sum of the partials by hand; where both sites are alike, that of the element."""
    known = study(tmp_path, SITES, methyl='{ "H:methyl" = 2 }', both="{ H = 2 }", one='{ H = 2, "H:methyl" = 1 }')
    assert StudyConfig.parse({**known.to_tree()}).to_tree() == known.to_tree()
    forward(known, labelled, elements=LABELS).write(tmp_path / "sites")
    b = {"methyl": (B_2H, B_1H), "both": (B_2H, B_2H), "one": (B_1H, B_2H)}
    s = columns(tmp_path / "sites" / "s_q" / "a.csv")
    inside = (s["Q"] > 0.5) & (s["Q"] < 17.9)
    for name, (methyl, hydroxyl) in b.items():
        length = {"C": B_C * 20, "H:methyl": methyl * 60, "H:hydroxyl": hydroxyl * 20, "O": B_O * 20}
        species = list(length)
        pairs = [(p, q) for i, p in enumerate(species) for q in species[i:]]
        hand = sum((2 - (p == q)) * length[p] * length[q] * (s[f"{p}-{q}"] - 1) for p, q in pairs) / 120**2 / 100
        curve = columns(tmp_path / "sites" / "curves" / f"{name}.csv")
        model = np.interp(s["Q"][inside], curve["Q"], curve["model"])
        np.testing.assert_allclose(model, hand[inside], atol=5e-3)

    forward(study(tmp_path, "H = 80", both="{ H = 2 }"), labelled, elements={"HM": "H", "HO": "H"}).write(
        tmp_path / "element"
    )
    of_sites, of_element = (columns(tmp_path / one / "curves" / "both.csv") for one in ("sites", "element"))
    # not to the last digit: a closed box of N atoms knows each g to 1/N, and N is that of the site
    np.testing.assert_allclose(of_sites["model"], of_element["model"], atol=1e-3)
    assert np.ptp(of_element["model"]) > 0.1


def test_sites_that_are_not_there(labelled: Path, tmp_path: Path) -> None:
    known = study(tmp_path, SITES, both="{ H = 2 }")
    with pytest.raises(InputError, match=r"the frame holds .*, the study C, H:methyl, H:hydroxyl, O"):
        forward(known, labelled, elements={"HM": "H", "HO": "H"})
    for wrong in ('{ "H:ethyl" = 2 }', "{ Si = 29 }"):
        with pytest.raises(InputError, match="which is not in the system"):
            study(tmp_path, SITES, both=wrong)
    with pytest.raises(InputError, match="behind a colon"):
        study(tmp_path, '"H:a b" = 80', both="{ H = 2 }")
    with pytest.raises(InputError, match="not a chemical element"):
        study(tmp_path, '"Hx:a" = 80', both="{ H = 2 }")


def test_a_start_structure_carries_them(labelled: Path, tmp_path: Path) -> None:
    """By labels of the file that a study names, or as they are written; and a correction may be of one of them."""
    text = study(tmp_path, SITES, both="{ H = 2 }").source_path.read_text()
    system = text.partition("[[states]]")[0].partition("[system]")
    named = 'structure = "methanol.xyz"\nstructure_elements = { HM = "H:methyl", HO = "H:hydroxyl" }\n'
    path = tmp_path / "labels.toml"
    path.write_text(text.replace(system[2], "\n" + named) + 'pairs = [["H:methyl", "O"]]\nknots = 8\nr_min = 0.5\n')
    built = Study.from_toml(path)
    assert set(built.species) == {"C", "H:methyl", "H:hydroxyl", "O"}
    assert [built.pairs[p] for p in built.initial_correction().active_pairs] in (
        [("H:methyl", "O")],
        [("O", "H:methyl")],
    )
    labelled.write_text(labelled.read_text().replace("HM ", "H:methyl ").replace("HO ", "H:hydroxyl "))
    path.write_text(path.read_text().replace(named, 'structure = "methanol.xyz"\n'))
    again = Study.from_toml(path)
    assert again.species == built.species
    np.testing.assert_array_equal(again.systems[0].positions, built.systems[0].positions)


CIF = """data_ice
_cell_length_a 6.5
_cell_length_b 6.5
_cell_length_c 6.5
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
O1 O 0.1 0.1 0.1
{0}1 {0} 0.25 0.1 0.1
D2 D 0.1 0.25 0.1
O2 O 0.6 0.6 0.6
D3 D 0.75 0.6 0.6
D4 D 0.6 0.75 0.6
"""

OF_STRUCTURE = """
title = "Ice"
[system]
structure = "{0}"
[[states]]
name = "a"
temperature = 100.0
[[data]]
name = "n"
role = "predict"
q_range = [0.4, 18.0]
quantity = "F(Q)"
normalisation = "keen"
radiation = "{1}"
{2}
[model]
base = "lennard-jones"
parameters = {{ epsilon = 0.01, sigma = 1.0 }}
[correction]
r_cut = 3.0
knots = 8
r_min = 0.5
"""


@pytest.mark.parametrize(
    ("first", "stated", "species", "isotopes"),
    [
        ("D", "", ("O", "H"), {"H": 2}),
        ("H", "", ("O", "H", "H:D"), {"H:D": 2}),
        ("D", "isotopes = { H = 1 }", ("O", "H"), {"H": 1}),
        ("H", "isotopes = { H = { 1 = 0.5, 2 = 0.5 } }", ("O", "H", "H:D"), {"H": {1: 0.5, 2: 0.5}}),
    ],
)
def test_deuterium_of_a_crystal_is_kept(
    tmp_path: Path, first: str, stated: str, species: tuple[str, ...], isotopes: dict[str, object]
) -> None:
    """Neutrons see it unless the data say otherwise; and it is still there in a structure that is written."""
    (tmp_path / "ice.cif").write_text(CIF.format(first))
    (tmp_path / "study.toml").write_text(OF_STRUCTURE.format("ice.cif", "neutron", stated))
    built = Study.from_toml(tmp_path / "study.toml")
    assert built.species == species
    assert built.predictions[0].measurement.curve.isotopes == isotopes

    system = built.systems[0]
    (tmp_path / "again.xyz").write_text(frame_text(system, system.positions, {}))
    (tmp_path / "study.toml").write_text(OF_STRUCTURE.format("again.xyz", "neutron", stated))
    again = Study.from_toml(tmp_path / "study.toml")
    assert (again.species, again.systems[0].isotopes) == (built.species, system.isotopes)
    assert again.predictions[0].measurement.curve.isotopes == isotopes
    if not stated:
        (tmp_path / "study.toml").write_text(OF_STRUCTURE.format("again.xyz", "xray", ""))
        assert not Study.from_toml(tmp_path / "study.toml").predictions[0].measurement.curve.isotopes


def test_a_space_group_keeps_deuterium(tmp_path: Path) -> None:
    """Also one whose operations ASE is not asked for."""
    for group in (
        "_symmetry_space_group_name_H-M 'P -1'",
        "_symmetry_space_group_name_H-M 'odd'\nloop_\n" + OPERATIONS,
    ):
        (tmp_path / "a.cif").write_text(CIF.format("H").replace("_symmetry_space_group_name_H-M 'P 1'", group))
        system = read_structure(tmp_path / "a.cif")
        assert (system.species, system.n_per_species) == (("O", "H", "H:D"), (4, 2, 6))
        assert system.isotopes == {"H:D": 2}


OPERATIONS = "_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z'"


@pytest.mark.parametrize(
    ("system", "hydrogen"),
    [
        ('formula = "D2O"\nunits = 32', 2),
        ("species = { D = 64, O = 32 }", 2),
        ("species = { H = 16, D = 48, O = 32 }", {1: 0.25, 2: 0.75}),
        ('formula = "D2O.3H2O"\nunits = 8', {1: 0.75, 2: 0.25}),
    ],
)
def test_heavy_water_is_asked_for(tmp_path: Path, system: str, hydrogen: int | dict[int, float]) -> None:
    """D is hydrogen 2, by its mass and for neutrons; H beside it, with which it exchanges, 1."""
    text = OF_STRUCTURE.format("x", "neutron", "").replace('structure = "x"', f"{system}\nmass_density = 1.105")
    (tmp_path / "study.toml").write_text(text)
    built = Study.from_toml(tmp_path / "study.toml")
    assert (built.species, built.systems[0].n_per_species) in ((("H", "O"), (64, 32)), (("O", "H"), (32, 64)))
    assert built.predictions[0].measurement.curve.isotopes == {"H": hydrogen}
    heavy = 1.0 if hydrogen == 2 else hydrogen[2]
    mass = (15.999 + 2 * (heavy * 2.0141 + (1 - heavy) * 1.008)) * 1.66053907
    assert built.systems[0].number_density == pytest.approx(3 * 1.105 / mass, rel=1e-4)
    assert StudyConfig.parse(built.config.to_tree()).digest() == built.config.digest()
