"""The study file: the contract's example, defaults, overrides, and one line for whatever is wrong with it."""

from __future__ import annotations

import copy
import datetime
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from refine.errors import InputError
from refine.potentials.bases import LATER
from refine.refinement.keys import Refinement
from refine.refinement.responses import RESPONSES
from refine.refinement.rules import FORMER, RULES
from refine.sampling.engines import DEFAULT_ENGINE, ENGINES
from refine.study.schema import Data, ModelFile, Sampling, StudyConfig, reference_markdown
from refine.tables.species import ELEMENTS, atoms_of
from refine.tables.toml import MAX_LINE, MAX_STUDY_BYTES, override
from refine.tables.values import MAX_POINTS

EXAMPLE = """
title = "Liquid argon at 85 K"

[system]
species = { Ar = 500 }               # counts, or: structure = "start.extxyz"
number_density = 0.02125             # atoms/Å^3

[[states]]                           # one or more
name = "85K"
temperature = 85.0                   # K; number_density or structure may be given per state

[[data]]                             # one or more
name = "yarnell"
file = "yarnell_1973_sq.csv"         # columns x, y[, sigma]
quantity = "S(Q)"
normalisation = "faber-ziman"        # or "keen" (barn/sr/atom, electron units), "<f^2>"
radiation = "neutron"                # or "xray"
isotopes = { Ar = 36 }               # or charges = { Fe = 2, O = -2 } for ionic form factors
state = "85K"
fit_q = [0.5, 11.7]                  # and/or fit_r = [r_min, r_max]; window = "none" | "lorch"
weight = 1.0
free_scale = false
role = "fit"                         # or "score": compared, never fitted

[model]
base = "lennard-jones"
[model.parameters]
epsilon = 0.010324                   # eV
sigma = 3.405                        # Å

[correction]
pairs = "all"                        # or [["Fe", "O"], ...]
knots = 32
r_min = 2.8
r_cut = 8.5
smoothness = "auto"                  # or a number

[sampling]
timestep = 5.0                       # fs
thermostat = "langevin"
equilibration = 20.0                 # ps
frames = 200
stride = 40                          # steps between frames
replicas = 1
seed = 1

[refinement]
method = "gauss-newton"
iterations = 8
"""

MINIMAL = """
[system]
species = { Fe = 50, O = 50 }
number_density = 0.0737
[[states]]
name = "melt"
temperature = 1900
[[data]]
name = "xrd"
file = "feo.csv"
quantity = "F(Q)"
radiation = "xray"
[model]
base = "born-mayer"
"""


def tree(text: str = EXAMPLE) -> dict[str, Any]:
    return tomllib.loads(text)


def parse(text: str, *overrides: str) -> StudyConfig:
    nested = tree(text)
    for assignment in overrides:
        override(nested, assignment)
    return StudyConfig.parse(nested)


def line_for(text: str, *overrides: str) -> str:
    """The one line that a study is refused with."""
    with pytest.raises(InputError) as caught:
        parse(text, *overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- What is read -----------------------------------------------------------------------------------------------------


def test_example_of_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    study = StudyConfig.from_toml(path)
    assert study.title == "Liquid argon at 85 K"
    assert study.system.species == {"Ar": 500}
    assert [(state.name, state.temperature) for state in study.states] == [("85K", 85.0)]
    (data,) = study.data
    assert (data.quantity, data.radiation, data.isotopes, data.fit_q) == ("S(Q)", "neutron", {"Ar": 36}, (0.5, 11.7))
    assert study.model.parameters == {"epsilon": 0.010324, "sigma": 3.405}
    assert (study.correction.pairs, study.correction.knots, study.correction.smoothness) == ("all", 32, "auto")
    assert (study.sampling.frames, study.sampling.stride) == (200, 40)
    assert (study.refinement.method, study.refinement.iterations) == ("gauss-newton", 8)
    assert (study.source_path, study.folder) == (path, tmp_path)


def test_defaults() -> None:
    study = parse(MINIMAL)
    assert study.title == "Untitled study"
    assert study.data[0].normalisation == "faber-ziman"
    assert (study.data[0].role, study.data[0].sigma, study.data[0].score_r) == ("fit", "auto", None)
    assert study.data[0].state is None
    assert study.state_of(study.data[0]).name == "melt"
    assert study.sampling == Sampling()
    assert study.states[0].temperature == 1900.0


def test_mixtures_of_isotopes(tmp_path: Path) -> None:
    study = parse(EXAMPLE, "data.0.isotopes={ Ar = { 36 = 0.6667, 40 = 0.333 } }")
    assert study.data[0].isotopes == {"Ar": {36: 0.6667, 40: 0.333}}
    assert parse(study.to_toml()).data[0].isotopes == study.data[0].isotopes
    assert parse(EXAMPLE).digest(data=False) != study.digest(data=False)


def test_species_keep_their_order() -> None:
    assert list(parse(MINIMAL, "system.species={ O = 1, Fe = 2 }").system.species or ()) == ["O", "Fe"]


def test_paths_are_relative_to_the_study(tmp_path: Path) -> None:
    study = StudyConfig.parse(tree(MINIMAL) | {"system": {"structure": "boxes/start.extxyz"}}, folder=tmp_path)
    assert study.data[0].path == tmp_path / "feo.csv"
    assert study.structure_of(study.states[0]) == tmp_path / "boxes" / "start.extxyz"
    absolute = tmp_path.parent / "elsewhere.csv"
    study = StudyConfig.parse(tree(MINIMAL) | {"data": [tree(MINIMAL)["data"][0] | {"file": str(absolute)}]}, tmp_path)
    assert study.data[0].path == absolute


def test_a_state_may_have_its_own_density_and_structure() -> None:
    study = parse(MINIMAL, "states.0.number_density=0.08", 'states.0.structure="a.extxyz"')
    assert study.number_density_of(study.states[0]) == 0.08
    assert study.structure_of(study.states[0]) == Path("a.extxyz")
    study = parse(MINIMAL)
    assert study.number_density_of(study.states[0]) == 0.0737
    assert study.structure_of(study.states[0]) is None


FORMULA = MINIMAL.replace("species = { Fe = 50, O = 50 }", 'formula = "Fe2O3"\nunits = 20')


def test_a_composition_by_formula_and_mass_density() -> None:
    study = parse(FORMULA.replace("number_density = 0.0737", "mass_density = 4.35"))
    assert study.system.counts == {"Fe": 40, "O": 60}
    state = study.states[0]
    assert (study.number_density_of(state), study.mass_density_of(state)) == (None, 4.35)
    assert StudyConfig.parse(tree(study.to_toml())) == study
    # a state's own density takes the place of the system's, whichever of the two it is
    nested = tree(FORMULA)
    nested["states"][0]["mass_density"] = 4.1
    study = StudyConfig.parse(nested)
    assert (study.number_density_of(study.states[0]), study.mass_density_of(study.states[0])) == (None, 4.1)


@pytest.mark.parametrize(
    ("formula", "atoms"),
    [("SiO2", {"Si": 1, "O": 2}), ("Ca(NO3)2", {"Ca": 1, "N": 2, "O": 6}), ("((H2O)2Na)3", {"H": 12, "O": 6, "Na": 3})],
)
def test_formulas(formula: str, atoms: dict[str, int]) -> None:
    assert atoms_of(formula) == atoms


@pytest.mark.parametrize(
    "formula", ["", "sio2", "Si(O", "SiO)", "()2", "Si O2", "Si0", "SiO²", "Si0.5", "(" * 20 + "O" + ")" * 20, "O99999"]
)
def test_what_is_no_formula(formula: str) -> None:
    assert "should be a formula of elements" in line_for(FORMULA, f"system.formula={formula!r}")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("system.formula='XO2'", "is not a chemical element"),
        ("system.species={ Fe = 3 }", "exactly one of 'species', 'formula' and 'structure'"),
        ("system.mass_density=4.0", "one of 'number_density' and 'mass_density', not both"),
        ("states.0={ name = 'a', temperature = 1, number_density = 0.1, mass_density = 4 }", "not both"),
        ("system.units=0", "units = 0 should be"),
        ("system.structure_species=['Fe']", "no 'structure' that 'structure_species'"),
        ("system.structure_elements={ OW = 'O' }", "no 'structure' that 'structure_elements'"),
        ("system.structure_elements={ OW = 'Ow' }", "structure_elements"),
        ("correction.pairs=[['Si', 'O']]", "names 'Si', which is not in the system (Fe, O)"),
    ],
)
def test_formula_and_density_refused(change: str, says: str) -> None:
    assert says in line_for(FORMULA, change)
    assert "both of 'formula' and 'units'" in line_for(FORMULA.replace("units = 20", ""))


@pytest.mark.parametrize(
    ("formula", "units", "counts"),
    [
        ("Na2O.2SiO2", 4, {"Na": 8, "O": 20, "Si": 8}),
        ("0.3FeO-0.7SiO2", 50, {"Fe": 15, "O": 85, "Si": 35}),
        ("CaSO4.2H2O", 3, {"Ca": 3, "S": 3, "O": 18, "H": 12}),
    ],
)
def test_a_composition_by_its_oxides(formula: str, units: int, counts: dict[str, int]) -> None:
    study = parse(MINIMAL.replace("species = { Fe = 50, O = 50 }", f'formula = "{formula}"\nunits = {units}'))
    assert study.system.counts == counts


def test_units_that_leave_a_part_of_an_atom() -> None:
    line = line_for(FORMULA, "system.formula='0.3FeO-0.7SiO2'", "system.units=15")
    assert "has 4.5 atoms of Fe in 15 formula units; 'units' should be a multiple of 10" in line


SCHEDULE = """
[[schedule]]
temperature = 4000
picoseconds = 20
[[schedule]]
temperature = 4000
to = 300
picoseconds = 50.0
pressure = 0.0
timestep = 0.5
"""


def test_a_schedule() -> None:
    study = parse(MINIMAL + SCHEDULE)
    flat, ramp = study.schedule
    assert (flat.temperature, flat.to, flat.picoseconds, flat.timestep, flat.pressure) == (4000, None, 20, None, None)
    assert (ramp.to, ramp.pressure, ramp.timestep) == (300, 0.0, 0.5)
    assert StudyConfig.parse(tree(study.to_toml())) == study
    assert parse(MINIMAL).schedule == parse(MINIMAL, "schedule=[]").schedule == ()
    assert parse(MINIMAL + SCHEDULE, "schedule.1.to=400").schedule[1].to == 400
    assert study.digest(data=False) != parse(MINIMAL).digest(data=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("schedule.0.picoseconds=0", "[[schedule]] number 1: picoseconds = 0"),
        ("schedule.1.until=3", "[[schedule]] number 2: unknown key 'until'"),
        ("schedule=3", "[[schedule]]"),
        ("schedule={ temperature = 3 }", "should be one table or more"),
    ],
)
def test_schedule_refused(change: str, says: str) -> None:
    assert says in line_for(MINIMAL + SCHEDULE, change)


def test_an_engine_is_named(tmp_path: Path) -> None:
    """The default changes no digest: runs of before go on."""
    plain = parse(MINIMAL)
    assert plain.sampling.engine == DEFAULT_ENGINE
    named = {name: parse(MINIMAL, f'sampling.engine="{name}"') for name in (*ENGINES, "auto")}
    digests = {name: study.digest(data=False) for name, study in named.items()}
    assert digests[DEFAULT_ENGINE] == plain.digest(data=False)
    assert len(set(digests.values())) == len(digests)
    assert parse(named["auto"].to_toml()).sampling.engine == "auto"
    assert "engine = 'gromacs' should be 'jax'" in line_for(MINIMAL, 'sampling.engine="gromacs"')
    assert "engine = 3" in line_for(MINIMAL, "sampling.engine=3")


def test_the_closure_is_for_liquids() -> None:
    assert parse(MINIMAL, 'refinement.response="closure"').refinement.liquids_only
    said = line_for(MINIMAL, 'refinement.response="closure"', 'states.0.phase="solid"')
    assert 'response = "closure" is for liquids, and state ' in said
    parse(MINIMAL, 'refinement.response="auto"', 'states.0.phase="solid"')
    digests = {parse(MINIMAL, f'refinement.response="{name}"').digest(data=False) for name in RESPONSES}
    assert len(digests) == len(RESPONSES)


def test_parameters_by_species_or_pair() -> None:
    study = parse(MINIMAL, "model.parameters={ A = { Fe-O = 1000, O-O = 9.5 }, r_scale = 1 }")
    assert study.model.parameters == {"A": {"Fe-O": 1000.0, "O-O": 9.5}, "r_scale": 1.0}


def test_partial_needs_no_radiation() -> None:
    study = parse(MINIMAL, 'data.0={ name = "FeO", file = "a", quantity = "g(r)", pair = ["Fe", "O"] }')
    assert study.data[0].pair == ("Fe", "O")


def test_study_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(MINIMAL).sampling.frames = 3  # type: ignore[misc]


# --- Overrides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "where", "value"),
    [
        ("refinement.iterations=3", ("refinement", "iterations"), 3),
        ("states.0.temperature=90", ("states", 0, "temperature"), 90),
        ("data.yarnell.fit_q = [1, 8.5]", ("data", 0, "fit_q"), [1, 8.5]),
        ("sampling.thermostat=nose-hoover", ("sampling", "thermostat"), "nose-hoover"),
        ("data.0.quantity=Q[S(Q)-1]", ("data", 0, "quantity"), "Q[S(Q)-1]"),
        ('title="a = b"', ("title",), "a = b"),
        ("new.table.key=true", ("new", "table", "key"), True),
    ],
)
def test_override(assignment: str, where: tuple[str | int, ...], value: Any) -> None:
    nested = tree()
    override(nested, assignment)
    found: Any = nested
    for key in where:
        found = found[key]
    assert found == value


def test_overrides_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(MINIMAL)
    study = StudyConfig.from_toml(path, ["sampling.frames=20", "sampling.frames=30"])
    assert study.sampling.frames == 30


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("sampling", "--set sampling: not of the form key.path=value"),
        ("=3", "not of the form"),
        ("sampling..frames=3", "not of the form"),
        ("data.7.weight=1", "data has no entry 7; it has 1, numbered from 0"),
        ("data.-1.weight=1", "data has no entry -1"),
        ("title.a=1", "title is not a table"),
        ("title.a.b=1", "title is not a table"),
        ("data=[", "the value is not TOML"),
        ("sampling.frames=", "the value is not TOML"),
        ("sampling.frames=1\nseed=2", "the value is not TOML"),
        ("sampling.frames=.5/x y", "the value is not TOML"),
    ],
)
def test_override_refused(assignment: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        override(tree(), assignment)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("sampling.strde=40", "study: [sampling] unknown key 'strde'; did you mean 'stride'?"),
        ("data.0.quantty=3", "study: [[data]] 'yarnell': unknown key 'quantty'; did you mean 'quantity'?"),
        ("sytem.x=3", "study: unknown key 'sytem'; did you mean 'system'?"),
        ("xyz=3", "unknown key 'xyz'; known keys: title, system, states"),
        ("system.[key]=3", "[system] unknown key '[key]'; known keys: species"),
        ("sampling.timestep=-5", "[sampling] timestep = -5 should be greater than or equal to 0.001; Time step in fs"),
        ("sampling.timestep=nan", "timestep = nan should be a finite number"),
        ("sampling.timestep=1" + 400 * "0", "should be a finite number"),
        ("sampling.frames=true", "frames = True should be a valid integer"),
        ("sampling.frames=20.5", "frames = 20.5 should be a valid integer"),
        ("sampling.frames='many'", "frames = 'many' should be a valid integer"),
        ("sampling.thermostat='x'", "thermostat = 'x' should be 'langevin' or 'nose-hoover'"),
        ("sampling=3", "[sampling] should be a table"),
        ("data=[]", "[[data]] should be one table or more"),
        ("data={}", "[[data]] should be one table or more"),
        ("data=[3]", "[[data]] should be one table or more"),
        ("data.0.quantity='s(q)'", "quantity = 's(q)' should be 'S(Q)', 'F(Q)'"),
        ("data.0.name='a/b'", "name = 'a/b' names a file of the output"),
        ("data.0.name=3", "[[data]] number 1: name = 3 should be a valid string"),
        ("data.0.file=''", "file = '' should be text on one line"),
        ('data.0.file="a\\u001bb"', "file = 'a\\x1bb' should be text on one line, without control characters"),
        ("data.0.fit_q=[3, 1]", "fit_q = [3, 1] should be [low, high] with 0 <= low < high"),
        ("data.0.fit_q=[1, 2, 3]", "should be [low, high], two numbers"),
        ("data.0.fit_q=[1, inf]", "fit_q.1 = inf should be a finite number"),
        ("data.0.pair=['Ar']", "pair = ['Ar'] should be two element symbols"),
        ("data.0.pair=['Ar', 'Q']", "names 'Q', which is not a chemical element"),
        ("data.0.pair=['Ar', 'Fe']", "pair names 'Fe', which is not in the system (Ar)"),
        ("data.0.isotopes={ Fe = 56 }", "isotopes names 'Fe', which is not in the system (Ar)"),
        (
            "data.0.isotopes={ Ar = 36.5 }",
            "isotopes.Ar = 36.5 should be a mass number, or shares by mass number, as in {",
        ),
        ("data.0.isotopes={ Ar = 0 }", "isotopes.Ar = 0 should be a mass number"),
        ("data.0.isotopes={ Ar = true }", "isotopes.Ar = True should be a mass number"),
        ("data.0.isotopes={ Ar = { 36 = 0.5, 40 = 0.4 } }", "should have shares that add up to 1; they add up to 0.9"),
        ("data.0.isotopes={ Ar = { 36 = 95, 40 = 5 } }", "should have shares from 0 to 1, as in { 1 = 0.5, 2 = 0.5 }"),
        ("data.0.isotopes={ Ar = { 36 = nan, 40 = 1 } }", "should have shares from 0 to 1"),
        ("data.0.isotopes={ Ar = { 36 = '1' } }", "should have shares from 0 to 1"),
        ("data.0.isotopes={ Ar = {} }", "should have shares that add up to 1; they add up to 0"),
        ("data.0.isotopes={ Ar = { x = 1 } }", "should have mass numbers as its keys"),
        ("data.0.isotopes={ Ar = { 3600 = 1 } }", "should have mass numbers as its keys"),
        ("data.0.isotopes={ D = 2 }", "isotopes.D is hydrogen 2; write H with isotopes = { H = 2 } in [[data]]"),
        ("data.0.pair=['D', 'Ar']", "pair = ['D', 'Ar'] names 'D', which is hydrogen 2; write H"),
        ("data.0.charges={ Ar = 1 }", "charges do not change neutron scattering; remove 'charges'"),
        ("data.0.charges={ Ar = 1.5 }", "charges.Ar = 1.5 should be the whole charge of an ion, from -8 to 8"),
        ("data.0.charges={ Ar = 9 }", "should be the whole charge of an ion"),
        ("data.0.charges={ Ar = true }", "should be the whole charge of an ion"),
        ("data.0.charges={ Ar = [0.4, nan] }", "should be the whole charge of an ion"),
        ("data.0.charges={ Ar = [0.4, 2, 2] }", "should be the whole charge of an ion"),
        ("data.0.charges={ Ar = [0.4, 0] }", "should be the whole charge of an ion"),
        ("data.0.radiation='xray'", "isotopes do not change x-ray scattering"),
        ("data.0.sigma=0", 'sigma = 0 should be a positive number, "auto", "file", or points, as in [[1, 0.02], '),
        ("data.0.sigma='none'", "sigma = 'none' should be a positive number"),
        ("data.0.sigma={ Ar = 1 }", "should be a positive number"),
        ("data.0.sigma=[[1, 0.02]]", "should have 2 to 20 points [x, number]"),
        ("data.0.sigma=[1, 0.02]", "should have points of two numbers, [x, number]"),
        ("data.0.sigma=[[1, 0.02], [2, true]]", "should have points of two numbers, [x, number]"),
        ("data.0.sigma=[[1, 0.02], [2, inf]]", "should have points of two numbers, [x, number]"),
        ("data.0.sigma=[[1, 0.02], [2, 0]]", "should have points of x >= 0 and a positive number"),
        ("data.0.sigma=[[-1, 0.02], [2, 0.01]]", "should have points of x >= 0 and a positive number"),
        ("data.0.sigma=[[1, 0.02], [1, 0.01]]", "should have its points in order of x"),
        ("data.0.weight=0", "weight = 0 should be greater than 0"),
        ("data.0.state='90K'", "[[data]] 'yarnell': state = '90K' is not a state; one of 85K"),
        ("data.0.role='predict'", "role = \"predict\" takes no 'file'; there is no measurement"),
        ("system.species={ ar = 3 }", "species.ar is not a chemical element; did you mean 'Ar'?"),
        ("system.species={ Ar = 0 }", "species.Ar = 0 should be greater than or equal to 1"),
        ("system.species={ Ar = 1 }", "[system] should have at least two atoms"),
        ("system.species={}", "species = {} "),
        ("system.structure='a.xyz'", "[system] should have exactly one of 'species', 'formula' and 'structure'"),
        ("system.number_density=21.25", "number_density = 21.25 should be less than or equal to 1; Atoms per Å³"),
        ("states.0.temperature=0", "[[states]] '85K': temperature = 0 should be greater than 0"),
        ("states.0.phase='gas'", "phase = 'gas' should be 'liquid' or 'solid'"),
        ("model.parameters.epsilon='x'", "[model] parameters.epsilon = 'x' should be a number, or a table of numbers"),
        ('model.parameters={ "\\u001b[2J" = "x" }', "[model] parameters.'\\x1b[2J' = 'x'"),
        ("correction.pairs=['Ar', 'Ar']", "pairs = ['Ar', 'Ar'] should be two element symbols, as in [\"Ca\", \"Cl\"]"),
        ("correction.pairs=[['Ar', 'Ar'], ['Ar', 'Ar']]", "names a pair twice"),
        ("model.parameters.sigma={ Ar-Kr = 1, Kr-Ar = 2 }", "names a pair twice, 'Ar-Kr' and 'Kr-Ar'"),
        ("coordination.radii={ Ar-Kr = 1, Kr-Ar = 2 }", "names a pair twice, 'Ar-Kr' and 'Kr-Ar'"),
        ("correction.pairs=[['Ar', 'O']]", "[correction] pairs names 'O', which is not in the system (Ar)"),
        ("correction.r_min=9", "[correction] r_min = 9 should be less than r_cut = 8.5"),
        (
            "correction.smoothness='smooth'",
            'should be a positive number, "auto", or a table of positive numbers by pair',
        ),
        ("correction.smoothness=inf", 'should be a positive number, "auto", or a table of positive numbers by pair'),
    ],
)
def test_refused_in_one_line(assignment: str, says: str) -> None:
    assert says in line_for(EXAMPLE, assignment)


@pytest.mark.parametrize("key", ["system", "states", "data", "model"])
def test_missing_table(key: str) -> None:
    nested = tree()
    del nested[key]
    with pytest.raises(InputError, match=rf"missing table \[+{key}\]+"):
        StudyConfig.parse(nested)


@pytest.mark.parametrize("key", [key for key, field in Data.model_fields.items() if field.is_required()])
def test_missing_key_says_what_it_is(key: str) -> None:
    nested = tree()
    del nested["data"][0][key]
    with pytest.raises(InputError, match=rf"\[\[data\]\] .*: missing key '{key}'; \w+"):
        StudyConfig.parse(nested)


def test_missing_radiation() -> None:
    nested = tree()
    del nested["data"][0]["radiation"]
    with pytest.raises(InputError, match="missing key 'radiation'"):
        StudyConfig.parse(nested)


def test_missing_density() -> None:
    nested = tree()
    del nested["system"]["number_density"]
    with pytest.raises(InputError, match=r"missing key 'number_density' in \[system\] or in \[\[states\]\] '85K'"):
        StudyConfig.parse(nested)


@pytest.mark.parametrize("table", ["states", "data"])
def test_names_are_unique_also_on_file_systems_without_case(table: str) -> None:
    nested = tree()
    nested[table].append(nested[table][0] | {"name": nested[table][0]["name"].upper()})
    nested["data"][0]["state"] = "85K"
    if table == "states":
        nested["states"][0]["name"] = "85k"
    with pytest.raises(InputError, match=rf"\[\[{table}\]\] has the name .* twice"):
        StudyConfig.parse(nested)


def test_state_is_required_among_several() -> None:
    nested = tree()
    nested["states"].append({"name": "90K", "temperature": 90})
    del nested["data"][0]["state"]
    with pytest.raises(InputError, match="missing key 'state'; one of 85K, 90K"):
        StudyConfig.parse(nested)


def test_several_mistakes_are_counted() -> None:
    assert "(and 2 more)" in line_for(EXAMPLE, "sampling.frames=x", "sampling.stride=x", "correction.knots=1")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b'title = "a"\nnumber = \n', "study.toml line 2: not TOML: Invalid value"),
        (b"[system\n", "study.toml line 1: not TOML"),
        (b"a = 1\n[a", "study.toml line 2: not TOML"),
        (b"a = 1\na = 2\n", "study.toml line 2: not TOML: Cannot overwrite a value"),
        (b"a = 1\nb = '\xff'\n", "study.toml line 2: byte 0xff is not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\x00", "study.toml line 1: byte 0x89 is not UTF-8 text"),
        (b"\x00\x00\x00", "study.toml line 1: not TOML"),
        (b"a" * (MAX_STUDY_BYTES + 1), "larger than 256 KiB"),
        (b"a = 1\n" + b"b." * MAX_LINE + b"c = 1\n", "study.toml line 2: 4005 characters in one line"),
        (b"a = " + b"[" * (MAX_LINE - 10), "brackets are nested too deeply"),
        (b"a = 2020-13-45T00:00:00\n", "not TOML"),
        (b"a = 1" + b"0" * (MAX_LINE - 10), "unknown key 'a'"),
    ],
)
def test_file_that_is_no_study(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        StudyConfig.from_toml(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.replace("\n", "\r\n").encode())
    assert StudyConfig.from_toml(path).model_dump() == parse(EXAMPLE).model_dump()


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        StudyConfig.from_toml(tmp_path / "nothing.toml")
    with pytest.raises(InputError, match="is a folder"):
        StudyConfig.from_toml(tmp_path)


@pytest.mark.parametrize("content", [None, b"a" * (MAX_STUDY_BYTES + 1), b"# " + b"a" * MAX_LINE, b"\xff"])
def test_what_is_no_model_file_is_not_called_a_study(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        ModelFile.from_toml(path)
    assert "study" not in str(caught.value).replace(str(tmp_path), "")
    assert "model" in str(caught.value).replace(str(path), "")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("'polynomial:0'", "the degree should be from 1 to 20; true is a flat background"),
        ("'chebyshev:21'", "the degree should be from 1 to 20"),
        ("'polynomial'", 'should be true, false, "polynomial:n" or "chebyshev:n"'),
        ("3", 'should be true, false, "polynomial:n" or "chebyshev:n"'),
    ],
)
def test_a_background_is_flat_or_a_polynomial(given: str, line: str) -> None:
    assert line in line_for(EXAMPLE, "data.0.quantity='S(Q)'", f"data.0.free_background={given}")


@pytest.mark.parametrize(
    ("given", "widths"),
    [
        ((), (0.0, 0.0)),
        (("q_damp=0.02", "q_broad=0.01"), (0.02, 0.01)),
        (("resolution=0.02",), (0.02, 0.0)),
        (("resolution={ proportional = 0.01 }", "q_damp=0.03"), (0.03, 0.01)),
        (("resolution={ constant = 0.02, proportional = 0.01 }",), (0.02, 0.01)),
    ],
)
def test_the_resolution_by_either_of_its_names(given: tuple[str, ...], widths: tuple[float, float]) -> None:
    study = parse(EXAMPLE, *(f"data.0.{key}" for key in given))
    assert study.data[0].widths == widths
    assert parse(study.to_toml()).data[0].widths == widths


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("q_damp=0.02", "resolution=0.02"), "q_damp and a constant resolution are one thing"),
        (("q_broad=0.02", "resolution={ proportional = 0.1 }"), "q_broad and a proportional resolution are one thing"),
        (("resolution={ gaussian = 0.1 }",), "'gaussian' is neither constant nor proportional"),
        (("resolution={}",), "says nothing"),
        (("resolution=0",), "should be a number above 0 and at most 1"),
        (("resolution=true",), "should be a number above 0 and at most 1"),
        (("resolution='sharp'",), "should be a number above 0 and at most 1"),
        (("q_damp=-1",), "should be greater than 0"),
    ],
)
def test_a_resolution_that_is_none(given: tuple[str, ...], line: str) -> None:
    assert line in line_for(EXAMPLE, *(f"data.0.{key}" for key in given))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("per='H2O'",), "per and incoherent are of the quantity I(Q)"),
        (("quantity='I(Q)'", "per='molecule'"), 'should be "atom" or a formula'),
        (("quantity='I(Q)'", "per='Xx2'"), "is not a chemical element"),
        (("quantity='I(Q)'", "radiation='xray'", "isotopes={}", "incoherent=true"), "x-rays know no incoherent nuclei"),
    ],
)
def test_what_an_intensity_is_per(given: tuple[str, ...], line: str) -> None:
    assert line in line_for(EXAMPLE, *(f"data.0.{key}" for key in given))


def test_a_background_of_waves_below_a_distance_is_smooth() -> None:
    overrides = ("data.0.quantity='S(Q)'", "data.0.background_below=1.0")
    assert "background_below is of a smooth background" in line_for(EXAMPLE, *overrides, "data.0.free_background=true")


# --- Keys that depend on one another ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", ["g(r)", "G(r)", "D(r)", "T(r)", "J(r)"])
def test_a_free_background_is_one_in_q(quantity: str) -> None:
    overrides = (f"data.0.quantity='{quantity}'", "data.0.free_background=true")
    assert f"a background is one in Q, and {quantity} is in r; remove 'free_background'" in line_for(
        EXAMPLE, *overrides
    )
    assert not parse(EXAMPLE, overrides[0]).data[0].free_background


@pytest.mark.parametrize("quantity", ["S(Q)", "F(Q)", "i(Q)", "Q[S(Q)-1]"])
def test_q_space_data_may_have_a_free_background(quantity: str) -> None:
    study = parse(EXAMPLE, f"data.0.quantity='{quantity}'", "data.0.free_background=true")
    assert study.data[0].free_background
    assert study.data[0].background_prior is None
    assert parse(EXAMPLE, "data.0.background_prior=0.01").data[0].background_prior == 0.01
    smooth = parse(EXAMPLE, f"data.0.quantity='{quantity}'", "data.0.free_background='chebyshev:8'")
    assert (smooth.data[0].free_background, smooth.data[0].background_below) == ("chebyshev:8", None)
    assert "background_prior = 0 should be greater than 0" in line_for(EXAMPLE, "data.0.background_prior=0")


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("columns=[1]", "should be [x, y] or [x, y, sigma]"),
        ("columns=2", "should be [x, y] or [x, y, sigma]"),
        ("columns=[1,2,3,4]", "should be [x, y] or [x, y, sigma]"),
        ("columns=[0,1]", "names column 0; count them from 1"),
        ("columns=[1,-2]", "names column -2"),
        ("columns=[1,2.0]", "names column 2.0"),
        ("columns=[true,2]", "names column True"),
        ('columns=["Q",""]', "names column"),
        ("columns=[2,2]", "names one column twice"),
        ("block=0", "block = "),
        ("block=1.5", "block = "),
        ('block="first"', "block = "),
    ],
)
def test_columns_that_are_none(assignment: str, says: str) -> None:
    assert says in line_for(MINIMAL, f"data.0.{assignment}")


def test_columns_and_block() -> None:
    """They come back from the run's own study, and the digest of a study without them is what it was."""
    study = parse(MINIMAL, 'data.0.columns=["Q","S(Q)"]', "data.0.block=2")
    again = StudyConfig.parse(tomllib.loads(study.to_toml()))
    assert (again.curves[0].columns, again.curves[0].block) == (("Q", "S(Q)"), 2)
    digests = {
        parse(MINIMAL, *keys).digest(data=False)
        for keys in ((), ("data.0.columns=[1,2]",), ("data.0.columns=[1,3]",), ("data.0.block=1",))
    }
    assert len(digests) == 4


def test_charge_and_spin_of_the_box() -> None:
    """They come back from the run's own study, and the digest of a study without them is what it was."""
    mace = ('model={base="mace", name="omol-0"}',)
    plain, charged = parse(MINIMAL, *mace), parse(MINIMAL, *mace, "model.charge=-1", "model.spin=2")
    again = StudyConfig.parse(tomllib.loads(charged.to_toml())).model
    assert (again.charge, again.spin) == (-1, 2)
    assert parse(MINIMAL, *mace, "model.charge=0", "model.spin=1").digest(data=False) == plain.digest(data=False)
    settings = plain.model_dump(mode="json")["model"]
    assert {key: settings[key] for key in ("charge", "spin", "change")} == {"charge": 0, "spin": 1, "change": None}
    molecules = ('model={base="lammps", commands="pair_style zero 5.0"}',)
    settings |= parse(MINIMAL, *molecules).model_dump(mode="json")["model"]
    assert {key: settings[key] for key in LATER} == LATER
    assert len({study.digest(data=False) for study in (plain, charged)}) == 2


def test_distances_within_molecules(tmp_path: Path) -> None:
    """They come back from the run's own study; a study without them has the digest that it had."""
    lines = 'model={base="lammps", commands="pair_style zero 5.0", topology="box.data", intramolecular=%s}'
    plain, none, study = (
        parse(MINIMAL, line)
        for line in (lines.replace(", intramolecular=%s", ""), lines % "{}", lines % "{ H-O=0.07 }")
    )
    given = parse(MINIMAL, lines % "{ O-H = [0.98, 0.07], H-H = 0.1 }")
    assert given.model.intramolecular == {"O-H": (0.98, 0.07), "H-H": 0.1}
    assert StudyConfig.parse(tomllib.loads(given.to_toml())).model.intramolecular == given.model.intramolecular
    (tmp_path / "box.data").write_text("its bytes are in the digest, too")
    for one in (plain, none, study, given):
        one.put_into(tmp_path)
    digests = [one.digest(data=False) for one in (plain, none, study, given)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    for value, says in {
        "0.07": "should be a table by pair, as in { O-H = [0.98, 0.07] }",
        "{ O = 0.07 }": "names 'O', which is no pair of elements; write O-H",
        "{ O-H = [1.0, 0.07, 1.0] }": "should have a width, or [distance, width], for O-H, positive numbers in Å",
        "{ O-H = nan }": "should have a width, or [distance, width]",
        "{ O-H = [0.98, 0.2] }": "has a width of O-H above 0.5 Å, or above a 5th of its distance",
        "{ O-H = 0.6 }": "has a width of O-H above 0.5 Å",
        "{ O-H = 0.07, H-O = 0.07 }": "names a pair twice",
    }.items():
        assert says in line_for(MINIMAL, lines % value)
    assert "has no 'topology' whose molecules 'intramolecular' could be of" in line_for(
        MINIMAL, (lines % "{ O-H = 0.07 }").replace(', topology="box.data"', "")
    )


def test_charges_that_moved() -> None:
    """A pair of numbers comes back from the run's own study; whole ones change no digest."""
    keys = ("data.0.isotopes={}", 'data.0.radiation="xray"')
    study = parse(MINIMAL, *keys, "data.0.charges={ Fe = [0.5, 2] }")
    again = StudyConfig.parse(tomllib.loads(study.to_toml()))
    assert again.curves[0].charges == study.curves[0].charges == {"Fe": (0.5, 2.0)}
    assert parse(MINIMAL, *keys, "data.0.charges={ Fe = 2 }").curves[0].charges == {"Fe": 2}


PREDICTED = {"name": "ours", "role": "predict", "quantity": "S(Q)", "radiation": "neutron", "q_range": [0.5, 20.0]}


def test_a_prediction_needs_no_file() -> None:
    study = StudyConfig.parse(tree() | {"data": [*tree()["data"], PREDICTED]})
    assert (study.data[1].role, study.data[1].file) == ("predict", None)
    assert StudyConfig.parse(tomllib.loads(study.to_toml())).data == study.data
    assert len(study.digest(data=False)) == 64


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"file": "a.csv"}, "takes no 'file'"),
        ({"free_scale": True}, "takes no 'free_scale'"),
        ({"fit_q": [1.0, 2.0]}, "takes no 'fit_q'"),
        ({"q_range": None}, "S(Q) is predicted over a range of Q; give q_range"),
        ({"role": "score"}, "missing key 'file'; or role = \"predict\""),
    ],
)
def test_predictions_refused(change: dict[str, Any], says: str) -> None:
    changed = {key: value for key, value in (PREDICTED | change).items() if value is not None}
    with pytest.raises(InputError, match=re.escape(says)):
        StudyConfig.parse(tree() | {"data": [*tree()["data"], changed]})


def test_errors_in_points() -> None:
    study = parse(MINIMAL, "data.0.sigma=[[1, 0.02], [20, 0.001]]")
    assert study.data[0].sigma == ((1.0, 0.02), (20.0, 0.001))
    assert StudyConfig.parse(tree(study.to_toml())) == study


def test_as_many_points_as_a_study_may_have_are_read_back(tmp_path: Path) -> None:
    points = [[x / 3.0, 0.1 / x] for x in range(1, MAX_POINTS + 1)]
    study = parse(MINIMAL, f"data.0.sigma={points}")
    (tmp_path / "study.toml").write_text(study.to_toml(), encoding="utf-8")
    assert StudyConfig.from_toml(tmp_path / "study.toml").data[0].sigma == study.data[0].sigma


def test_smoothness_by_pair() -> None:
    study = parse(MINIMAL, "correction.smoothness={ O-Fe = 2, O-O = 0.5 }")
    assert study.correction.smoothness == {"O-Fe": 2.0, "O-O": 0.5}
    assert StudyConfig.parse(tree(study.to_toml())) == study


@pytest.mark.parametrize("key", ["correction.smoothness", "refinement.minimum_distances"])
@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("{ Fe = 2 }", "names 'Fe', which is no pair of elements; write Fe-O"),
        ("{ Fe-Oo = 2 }", "names 'Fe-Oo', which is no pair of elements"),
        ("{ Fe-O-O = 2 }", "names 'Fe-O-O', which is no pair of elements"),
        ('{ "" = 2 }', "names '', which is no pair of elements"),
        ("{ Fe-O = 0 }", "should be a table of positive numbers by pair, as in { Fe-O = 2 }"),
        ("{ Fe-O = -1.5 }", "should be a table of positive numbers by pair"),
        ("{ Fe-O = inf }", "should be a table of positive numbers by pair"),
        ("{ Fe-O = true }", "should be a table of positive numbers by pair"),
        ("{ Fe-O = 'auto' }", "should be a table of positive numbers by pair"),
    ],
)
def test_tables_by_pair_are_refused(key: str, table: str, says: str) -> None:
    line = line_for(MINIMAL, "refinement.method='rmc'", f"{key}={table}")
    assert says in line
    assert f"[{key.split('.')[0]}] {key.split('.')[1]}" in line


@pytest.mark.parametrize(
    ("key", "value", "methods"),
    [
        ("trust_radius", 0.1, {"gauss-newton"}),
        ("pooling", False, {"gauss-newton"}),
        ("damping", 0.5, {"ibi"}),
        ("pressure", 0.1, {"ibi"}),
        ("optimiser", "sgd", {"difftre", "backprop"}),
        ("learning_rate", 0.1, {"difftre", "backprop"}),
        ("inner_steps", 5, {"difftre"}),
        ("threshold", 0.5, {"difftre"}),
        ("parameters", ["epsilon", "sigma"], {"difftre"}),
        ("windows", 8, {"backprop"}),
        ("window_steps", 50, {"backprop"}),
        ("clip", 3.0, {"backprop"}),
        ("feedback", 0.5, {"epsr"}),
        ("confidence", 0.5, {"epsr"}),
        ("cap", 2.0, {"epsr"}),
        ("moves", 2, {"rmc"}),
        ("minimum_distances", {"Ar-Ar": 2.8}, {"rmc"}),
    ],
)
def test_a_key_of_another_method_is_refused(key: str, value: Any, methods: set[str]) -> None:
    """Accepted by the methods that have it, refused by all others in a line that names them."""
    for method in RULES.entries:
        nested = tree() | {"refinement": {"method": method, key: value}}
        line = _refusal(StudyConfig.parse, nested)
        if method in methods:
            assert line == ""
            kept = getattr(StudyConfig.parse(nested).refinement, key)
            assert (list(kept) if isinstance(kept, tuple) else kept) == value
        else:
            assert f"[refinement] method = '{method}' takes no '{key}'" in line
            assert all(name in line for name in methods)


def test_a_key_of_another_method_at_its_default_changes_nothing() -> None:
    assert parse(EXAMPLE, "refinement.damping=1.0").refinement.method == "gauss-newton"


@pytest.mark.parametrize("method", RULES.entries)
def test_every_rule_has_a_table_of_its_own_keys(method: str) -> None:
    """Derived from the one with the keys of all, named by its word, every key described, all with defaults."""
    table = RULES.table(method)
    assert issubclass(table, Refinement)
    assert table().method == method
    assert table.__doc__ != Refinement.__doc__
    assert all(field.description for name, field in table.model_fields.items() if name != "method")


WRITTEN_BEFORE = """
method = "{method}"
iterations = 8
trust_radius = 0.3
pooling = true
damping = 1.0
optimiser = "adam"
learning_rate = 0.02
inner_steps = 20
threshold = 0.9
parameters = ["correction"]
windows = 32
window_steps = 200
feedback = 0.8
confidence = 0.9
cap = 1.0
moves = 5
minimum_distances = {{}}
"""
"""[refinement] as run folders have it from when the keys of all rules stood in one table."""


@pytest.mark.parametrize("method", RULES.entries)
def test_studies_in_run_folders_of_before_still_open(method: str) -> None:
    nested = tree() | {"refinement": tomllib.loads(WRITTEN_BEFORE.format(method=method))}
    study = StudyConfig.parse(nested)
    assert study.refinement == StudyConfig.parse(tree() | {"refinement": {"method": method}}).refinement
    assert tomllib.loads(study.to_toml())["refinement"].keys() <= set(RULES.table(method).model_fields)
    nested["refinement"]["confidence"] = True  # not the default, though Python has True == 1
    assert "[refinement] " in _refusal(StudyConfig.parse, nested)


def test_keys_of_before_are_those_of_the_rules_that_were() -> None:
    """What run folders of before hold is closed; a rule that changes a default of its own has to leave it there."""
    assert set(FORMER) == {
        *("trust_radius", "pooling", "damping", "pressure", "optimiser", "learning_rate", "inner_steps", "threshold"),
        *("parameters", "windows", "window_steps", "clip", "feedback", "confidence", "cap", "moves"),
        "minimum_distances",
    }


@pytest.mark.parametrize(
    ("keys", "digest"),
    [
        ({"response": "fluctuation"}, "4a4c987f6024944ea871319249c7727965259ea9cf2c6863f439357737ac59ca"),
        (
            {"response": "fluctuation", "trust_radius": 0.1, "pooling": False},
            "d81921fcab5b884aa1e3922db09bd087be1f2ed6c22b158f9b2024953512d297",
        ),
        (
            {"method": "ibi", "damping": 0.5, "pressure": 0.1},
            "45b2d891ad057a54a1bb23f51f9f603f8baaa29e6cbfe60d92f4dd2b67f54815",
        ),
        (
            {"method": "difftre", "parameters": ["epsilon", "sigma"], "optimiser": "sgd"},
            "fb0242df9e43e8ad3793edf280879e6a2d54105dbf8dfeefb85cdb17a3f5a219",
        ),
        (
            {"method": "backprop", "clip": 3.0, "windows": 8},
            "b0d672df174e3499980406b81df399dc2f06aa734043b32ecc4e7bee9cbb8447",
        ),
        ({"method": "epsr", "cap": 2.0}, "c734356e1046ee5586c26a355a379f81a5c8e2638d49fb52f59887dfedd32951"),
        (
            {"method": "rmc", "moves": 2, "minimum_distances": {"Ar-Ar": 2.8}},
            "8057649c873b8b73ebd29d27809228ebdf365dce7bc36f0dc2c23dd199010655",
        ),
    ],
)
def test_digests_are_those_of_before(keys: dict[str, Any], digest: str) -> None:
    """Runs of before can be resumed: recorded when the keys of all rules stood in one table.

    The example did not give reequilibration, which was 5 ps by default then.
    """
    study = tree() | {"refinement": keys}
    study["sampling"] |= {"reequilibration": 5.0}
    assert StudyConfig.parse(study).digest(data=False) == digest


def test_where_a_run_computes_is_no_part_of_what_it_is() -> None:
    assert parse(MINIMAL, "sampling.devices=4").digest(data=False) == parse(MINIMAL).digest(data=False)


@pytest.mark.parametrize(
    ("refinement", "says"),
    [
        ({"method": "ibii"}, "[refinement] method = 'ibii' should be 'gauss-newton', 'ibi', 'difftre', 'backprop', "),
        ({"method": 3, "damping": 0.5}, "[refinement] method = 3 should be 'gauss-newton', "),
        ({"method": ["ibi"]}, "[refinement] method = ['ibi'] should be 'gauss-newton', "),
        ({"method": "ibi", "dampin": 0.5}, "[refinement] unknown key 'dampin'; did you mean 'damping'?"),
        ({"method": "ibi", "damping": 2}, "[refinement] damping = 2 should be less than or equal to 1; Share of each"),
        ({"method": "ibi", "windows": 8, "pooling": False}, "takes no 'windows'; backprop has it"),
        ({"optimiser": "sgd"}, "method = 'gauss-newton' takes no 'optimiser'; difftre and backprop have it"),
        ("ibi", "[refinement] should be a table"),
    ],
)
def test_refusals_name_the_key_of_the_rule(refinement: Any, says: str) -> None:
    assert says in _refusal(StudyConfig.parse, tree() | {"refinement": refinement})


def _two_states(second: str, temperature: float, role: str = "fit") -> dict[str, Any]:
    """Two states at 85 K and `temperature`; the second data set belongs to the state `second`."""
    nested = tree() | {"correction": {"temperature": "linear"}}
    nested["states"] = [{"name": "85K", "temperature": 85}, {"name": "other", "temperature": temperature}]
    nested["data"].append(nested["data"][0] | {"name": "second", "state": second, "role": role})
    return nested


def test_a_correction_that_changes_with_temperature_needs_two_fitted_temperatures() -> None:
    says = '[correction] temperature = "linear" needs fitted data at two temperatures or more'
    assert says in line_for(EXAMPLE, "correction.temperature='linear'")
    assert StudyConfig.parse(_two_states("other", 145)).correction.temperature == "linear"
    for nested in (_two_states("85K", 145), _two_states("other", 85), _two_states("other", 145, "score")):
        assert says in _refusal(StudyConfig.parse, nested)
    assert "temperature = 'cubic' should be 'none' or 'linear'" in line_for(EXAMPLE, "correction.temperature='cubic'")


# --- Whatever the file says, a study or one line ----------------------------------------------------------------------

VALUES = st.recursive(
    st.none().map(lambda _: "")
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**320)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([*ELEMENTS[:8], "auto", "all", "xray", "85K", datetime.date(2024, 1, 1), datetime.time(12)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _paths(node: Any, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a tree, tables included."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [here, *(path for key, child in items for path in _paths(child, (*here, key)))]


def _refusal(function: Callable[..., object], *arguments: Any) -> str:
    """What a call is refused with, "" where it is not; any other exception is a defect and passes."""
    try:
        function(*arguments)
    except InputError as error:
        return str(error)
    return ""


def _study_or_one_line(nested: dict[str, Any]) -> None:
    line = _refusal(StudyConfig.parse, nested)
    assert line == "" or line.isprintable()  # one line, and nothing that a terminal obeys
    assert len(line) < 1000


@given(st.sampled_from(_paths(tree())[1:]), VALUES)
@settings(max_examples=400, deadline=None)
def test_any_value_anywhere(path: tuple[str | int, ...], value: Any) -> None:
    nested = tree()
    node: Any = nested
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    _study_or_one_line(nested)


@given(st.sampled_from([path for path in _paths(tree()) if len(path) < 3]), st.text(max_size=12), VALUES)
@settings(max_examples=200, deadline=None)
def test_any_key_anywhere(path: tuple[str | int, ...], name: str, value: Any) -> None:
    nested = tree()
    node: Any = nested
    for key in path:
        node = node[key]
    if isinstance(node, list):
        node.append(value)
    elif isinstance(node, dict):
        node[name] = value
    _study_or_one_line(nested)


@given(
    st.lists(st.tuples(st.integers(0, len(EXAMPLE)), st.integers(0, 12), st.text(max_size=6)), min_size=1, max_size=4)
)
@example([(0, len(EXAMPLE), "")])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edit_of_the_text(tmp_path: Path, edits: list[tuple[int, int, str]]) -> None:
    text = EXAMPLE
    for start, length, insertion in edits:
        text = text[:start] + insertion + text[start + length :]
    _read(tmp_path, text.encode())


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    _read(tmp_path, content)


def _read(folder: Path, content: bytes) -> None:
    path = folder / "study.toml"
    path.write_bytes(content)
    line = _refusal(StudyConfig.from_toml, path)
    assert line == "" or line.startswith(str(path))
    assert "\n" not in line


@given(
    st.sampled_from([".".join(map(str, path)) for path in _paths(tree())]) | st.text(max_size=12),
    st.sampled_from(["", "=", ".x=", "="]),
    st.text(max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_any_override(path: str, middle: str, value: str) -> None:
    nested = tree()
    line = _refusal(override, nested, path + middle + value)
    assert "\n" not in line
    _study_or_one_line(nested)


# --- What is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["curve.csv", "./a/curve.csv", "../curve.csv", "/data/curve.csv", "~/curve.csv"])
def test_paths_need_no_quotes(path: str) -> None:
    assert Path(parse(MINIMAL, f"data.0.file={path}").data[0].file) == Path(path)


@pytest.mark.parametrize("text", [EXAMPLE, MINIMAL])
def test_written_study_reads_back_the_same(text: str) -> None:
    study = parse(text, "correction.pairs=all", "data.0.sigma=0.004", 'title="Å \\"quoted\\" \\\\ 😀"')
    again = StudyConfig.parse(tree(study.to_toml()))
    assert again == study
    assert again.to_toml() == study.to_toml()


def test_written_study_has_pairs_and_parameters_by_pair() -> None:
    study = parse(MINIMAL, "correction.pairs=[['Fe', 'O']]", "model.parameters.A={ Fe-O = 1e-12, O-O = 1e22 }")
    assert StudyConfig.parse(tree(study.to_toml())) == study


def test_digest_follows_settings_and_data_but_not_the_place(tmp_path: Path) -> None:
    def digest(folder: str, *overrides: str, data: bytes = b"1 2\n") -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "feo.csv").write_bytes(data)
        (tmp_path / folder / "study.toml").write_text(MINIMAL)
        return StudyConfig.from_toml(tmp_path / folder / "study.toml", overrides).digest()

    assert digest("a") == digest("b")
    assert digest("a") != digest("a", "sampling.seed=2")
    assert digest("a") != digest("a", data=b"1 3\n")


def test_digest_follows_the_model_file(tmp_path: Path) -> None:
    def digest(content: bytes) -> str:
        (tmp_path / "feo.csv").write_bytes(b"1 2\n")
        (tmp_path / "own.model").write_bytes(content)
        study = tree(MINIMAL) | {"model": {"base": "mace", "path": "own.model"}}
        parsed = StudyConfig.parse(study, tmp_path)
        assert parsed.model.model_path == tmp_path / "own.model"
        return parsed.digest()

    assert digest(b"a") == digest(b"a")
    assert digest(b"a") != digest(b"b")
    (tmp_path / "own.model").unlink()
    with pytest.raises(InputError, match=r"own\.model: cannot be read"):
        StudyConfig.parse(tree(MINIMAL) | {"model": {"base": "mace", "path": "own.model"}}, tmp_path).digest()


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ({"base": "mace"}, "[model] should have exactly one of 'path' and 'name' with base = \"mace\""),
        ({"base": "mace", "path": "a.model", "name": "small"}, "should have exactly one of 'path' and 'name'"),
        ({"base": "mace", "name": "small", "parameters": {"epsilon": 1.0}}, "takes no 'parameters'; a classical base"),
        ({"base": "mace", "name": "small", "r_cut": 6.0}, "base = 'mace' takes no 'r_cut'"),
        ({"base": "lennard-jones", "path": "a.model"}, "base = 'lennard-jones' takes no 'path'; only \"mace\" has it"),
        ({"base": "lennard-jones", "backend": "mace-jax"}, "takes no 'backend'"),
        ({"base": "mace", "name": "small", "charges": {"Fe": 1.2}}, "takes no 'charges'"),
        ({"base": "by-pair", "pairs": {"Fe-X": {"form": "morse"}}}, "names 'Fe-X', which is no pair of elements"),
        ({"base": "by-pair", "pairs": {"Fe-O": {"D": 1.0}}}, 'has no form for Fe-O; write { form = "morse", ... }'),
        (
            {"base": "by-pair", "pairs": {"Fe-O": {"form": "morse", "D": "1"}}},
            "a parameter of Fe-O that is not a number",
        ),
        ({"base": "by-pair", "pairs": 1.0}, "should be tables by pair"),
        ({"base": "lennard-jones", "head": "default"}, "takes no 'head'"),
        ({"base": "mace", "name": "small", "backend": "torch"}, "[model] backend = 'torch' should be"),
    ],
)
def test_keys_belong_to_their_base(model: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        StudyConfig.parse(tree(MINIMAL) | {"model": model})
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_study_with_mace_is_written_and_read_back() -> None:
    study = StudyConfig.parse(tree(MINIMAL) | {"model": {"base": "mace", "name": "medium-mpa-0", "head": "default"}})
    assert StudyConfig.parse(tree(study.to_toml())) == study


@pytest.mark.parametrize(
    ("model", "elements"),
    [
        ({"base": "buckingham", "parameters": {"A": {"Fe-O": 1}, "rho": {"Fe-O": 1}, "C": {"O-O": 1}}}, {"Fe", "O"}),
        ({"base": "buckingham", "parameters": {"A": 1, "C": 1}, "charges": {"Fe": 2, "O": -2}}, {"Fe", "O"}),
        ({"base": "lennard-jones", "parameters": {"epsilon": {"Ar": 1}, "sigma": {"Ar-Kr": 1}}}, {"Ar", "Kr"}),
        ({"base": "by-pair", "pairs": {"Si-O": {"form": "buckingham", "A": 1, "C": 1}}}, {"Si", "O"}),
        ({"base": "pedone-2006", "ions": {"Fe": "Fe2+"}}, {"Fe"}),
        ({"base": "tersoff", "parameters": {"A": 1.0, "B": 1.0, "n": 1.0, "S": 1.0}}, set()),
        ({"base": "mace", "name": "medium-mpa-0"}, set()),
    ],
)
def test_elements_that_a_base_names_are_not_its_parameters(model: dict[str, Any], elements: set[str]) -> None:
    """Buckingham's C and Tersoff's B are no carbon and no boron."""
    study = StudyConfig.parse(tree(MINIMAL) | {"model": model, "correction": {"pairs": "all"}})
    assert study.model.elements == elements


def test_digest_of_missing_data() -> None:
    with pytest.raises(InputError, match=r"feo\.csv: cannot be read"):
        parse(MINIMAL).digest()


def test_reference_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "study.md"
    assert page.read_text(encoding="utf-8") == reference_markdown(), "run: make reference"


def test_reference_page_has_every_key() -> None:
    page = reference_markdown()
    for model in (StudyConfig.model_fields[name].annotation for name in ("system", "model", "sampling", "correction")):
        for name, field in model.model_fields.items():  # type: ignore[union-attr]
            assert f"| `{name}` |" in page
            assert field.description, f"{name} has no description"
    assert (
        "| `time_constant` | number, ≥ 0.001, ≤ 1000 | `0.5` | Its time constant in ps, at least two time steps. |"
        in page
    )
    assert '| `timestep` | number or `"auto"`, ≥ 0.001, ≤ 20 | `"auto"` | Time step in fs, usually 0.25 to 10. ' in page


def test_words_for_choices_are_those_of_the_code() -> None:
    """A choice of the study file is looked up in one table of the code; the file's words are exactly its keys."""
    from refine.potentials.mace.base import BACKENDS, MaceModel
    from refine.sampling.jax.thermostats import THERMOSTATS

    assert set(get_args(Sampling.model_fields["thermostat"].annotation)) == set(THERMOSTATS)
    assert set(get_args(MaceModel.model_fields["backend"].annotation)) == set(BACKENDS)


def test_elements() -> None:
    import periodictable

    assert list(ELEMENTS) == [periodictable.elements[z].symbol for z in range(1, 99)]


def test_parse_leaves_its_argument_alone() -> None:
    nested = tree()
    before = copy.deepcopy(nested)
    StudyConfig.parse(nested)
    assert nested == before
