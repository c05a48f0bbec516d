"""Molecules under LAMMPS: what the correction acts on, and the ensemble of bodies and bonds that are held."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.lammps_base import LammpsBase, LammpsGiven, LammpsModel
from refine.sampling.averages import standard_error
from refine.sampling.counting import counts_as_seen, counts_of_pairs, pair_counts
from refine.sampling.engines import engine_kind
from refine.sampling.external.mover import Motion
from refine.sampling.external.sampler import ExternalSampler
from refine.sampling.lammps.in_process import InProcess
from refine.sampling.lammps.program import Program
from refine.sampling.structure_files import read_structure
from refine.system import System, make_system, species_pairs
from refine.units import BOLTZMANN, PRESSURE_UNIT
from tests.export.runs import correction
from tests.molecules import CHAIN, SPCE, chains, dimers, water, written
from tests.sampling.lammps.test_commands import paired

HELD = {
    "rigid": {"rigid": "molecules"},
    "shake": {"shake": {"bonds": [1], "angles": [1]}},
    "bonds": {"shake": {"bonds": [1]}},
}
FREE_GAS = "pair_style lj/cut 6.0\npair_coeff * * 0.0 1.0\nbond_style harmonic\nbond_coeff 1 500.0 1.1\n"


def box(
    folder: Path, text: str, commands: str, types: tuple[str, ...] | None = None, **keys: Any
) -> tuple[System, LammpsGiven]:
    """The atoms and the potential of a data file."""
    path = written(folder, text)
    model = LammpsModel(base="lammps", commands=commands, topology=path.name, **keys)
    model.put_into(folder)
    system = read_structure(path, types=types)
    return system, LammpsBase().read(model, system.species, species_pairs(system.species), 6.0)


def field_of(system: System, base: LammpsGiven) -> Any:
    kind = LammpsBase()
    engine_kind("lammps").check(kind, None, base, [system])
    return engine_kind("lammps").field(kind, None, base, 6.0, system, "float64")


def sampler_of(system: System, field: Any, thermostat: str, timestep: float, **more: Any) -> ExternalSampler:
    keys: dict[str, Any] = {"stride": 10, "n_bins": 300, "r_max": 6.0, "precision": "float64", "phase": "solid"}
    return ExternalSampler("lammps", system, field, Motion(thermostat, 0.1, timestep), **(keys | more))


@pytest.mark.parametrize("special", ["", "special_bonds lj 0 0 0.5 coul 0 0 0.5", "special_bonds lj/coul 0 1 1"])
@pytest.mark.parametrize("everywhere", [False, True])
def test_the_correction_acts_on_what_is_counted(tmp_path: Path, special: str, everywhere: bool) -> None:
    """Energy of LAMMPS, of the sum over pairs and of the counts; the ends of the chains are a site of their own."""
    system, base = box(tmp_path, chains(), f"{CHAIN}\n{special}", ("C:a", "C:b"))
    field = field_of(system, replace(base, everywhere=everywhere))
    phi = correction({"C:a": 54, "C:b": 108})
    plain, corrected = (InProcess(system, field.params(one)).evaluate(system.positions) for one in (None, phi))
    pairs, share = field.molecules.pairs, field.molecules.share
    assert len(pairs) == (0 if everywhere else {"": 12, "special_bonds lj 0 0": 12}.get(special[:20], 5) * 27)
    kind = np.repeat([0, 1], system.n_per_species)
    apart = system.positions[pairs[:, 0]] - system.positions[pairs[:, 1]]
    r = np.linalg.norm(apart - np.round(apart / 15.0) * 15.0, axis=1)
    within = phi.energy(r)[kind[pairs].sum(axis=1), np.arange(len(r))] @ share
    expected = paired(phi, system)[0] - float(within)
    assert corrected.energy - plain.energy == pytest.approx(expected, rel=1e-4)
    bins, there = 3000, system.positions[None]
    counts = pair_counts(there, system, bins, 6.0, "float64")
    bonded = counts_of_pairs(there, system, pairs, share, counts, 6.0)
    centres = (np.arange(bins) + 0.5) * 6.0 / bins
    assert float(((counts - bonded)[0] * phi.energy(centres)).sum()) == pytest.approx(expected, rel=2e-3)


def test_distances_on_an_edge_of_two_bins() -> None:
    """Bonds of exactly 1 Å, bins of 0.02 Å: whichever bin float32 puts them into, they are taken out of it."""
    rng = np.random.default_rng(0)
    first = np.stack(np.meshgrid(*[np.arange(4) * 4.0] * 3), axis=-1).reshape(-1, 3) + 1.0
    ways = rng.normal(size=first.shape)
    second = first + ways / np.linalg.norm(ways, axis=1)[:, None]
    system = make_system({"H": 64, "O": 64}, 16.0 * np.eye(3), np.concatenate([first, second]))
    pairs = np.stack([np.arange(64), np.arange(64) + 64], axis=1)
    there = system.positions[None]
    total = pair_counts(there, system, 300, 6.0, "float32")
    bonded = counts_of_pairs(there, system, pairs, np.ones(64), total, 6.0)
    assert bonded.sum() == 64
    assert ((total - bonded) >= 0).all()
    assert (total - bonded)[0, 1, 45:55].sum() == 0


@pytest.mark.parametrize(("mean", "width"), [(np.nan, 0.07), (0.98, 0.07), (np.nan, 0.0), (1.57, 0.12), (1.0, 1e-3)])
def test_a_distance_within_a_molecule_is_a_peak_of_t_of_r(mean: float, width: float) -> None:
    """Debye's wave of each pair, sin(Qd)/(Qd) exp(-s^2 Q^2/2), with the mean distance where it is wanted.

    Distances scatter by 0.05 Å. Bins of 0.005 Å take up to 4e-4 off a wave of 20 1/Å.
    """
    rng = np.random.default_rng(1)
    first = np.stack(np.meshgrid(*[np.arange(4) * 4.0] * 3), axis=-1).reshape(-1, 3)
    ways, d = rng.normal(size=first.shape), rng.uniform(0.9, 1.1, len(first))
    second = first + d[:, None] * ways / np.linalg.norm(ways, axis=1)[:, None]
    system = make_system({"H": 64, "O": 64}, 16.0 * np.eye(3), np.concatenate([first, second]))
    pairs, share = np.stack([np.arange(64), np.arange(64) + 64], axis=1), np.full(64, 1.0)
    between = np.zeros((1, 3, 1600), np.float32)
    between[0, 1, 190] = 50.0
    counts = counts_as_seen(
        system.positions[None], system, pairs, share, np.full(64, mean), np.full(64, width), between, 8.0
    )
    assert counts[0, [0, 2]].sum() == 0
    assert counts.sum() == pytest.approx(64.0, rel=1e-4)
    np.testing.assert_array_equal((between + counts) - counts, between)
    r, q = (np.arange(1600) + 0.5) * 0.005, np.linspace(0.5, 20.0, 40)
    d = d if np.isnan(mean) else d + mean - d.mean()
    expected = (np.sinc(np.outer(q, d) / np.pi) * np.exp(-0.5 * (q * width) ** 2)[:, None]).sum(axis=1)
    np.testing.assert_allclose(np.sinc(np.outer(q, r) / np.pi) @ counts[0, 1], expected, atol=64 * 6e-4)


def test_what_scattering_sees_of_molecules_is_nothing_to_the_correction(tmp_path: Path) -> None:
    """Counts between molecules, energies and virials are those without the key, bit for bit."""
    found, seen = [], {"O-H": (0.98, 0.07), "H-H": 0.1}
    for keys in ({}, {"intramolecular": seen}):
        system, base = box(tmp_path, water(), SPCE, units="real", rigid="molecules", **keys)
        field = field_of(system, base)
        sampler = sampler_of(system, field, "langevin", 1.0, precision="float32")
        found.append(sampler.run(sampler.start(system.positions, 300.0, 1), field.params(None), 300.0, 4)[1])
    plain, widened = found
    np.testing.assert_array_equal(plain.felt.counts, widened.felt.counts)
    for name in ("energy", "virial", "temperature"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(widened, name))
    mean, spread = [], []
    for frames in found:
        of_pair = frames.bonded[0].astype(float)
        number = of_pair.sum(axis=1)
        np.testing.assert_allclose(number, [0, 128, 64], rtol=1e-4)
        t = of_pair[1:] / frames.centres
        mean.append(t @ frames.centres / t.sum(axis=1))
        spread.append(np.sqrt((t * (frames.centres - mean[-1][:, None]) ** 2).sum(axis=1) / t.sum(axis=1)))
    np.testing.assert_allclose(mean, [[1.0, 1.633], [0.98, 1.633]], atol=0.004)
    np.testing.assert_allclose(spread[1], [0.07, 0.1], atol=0.002)


@pytest.mark.parametrize(
    ("held", "thermostat"), [("rigid", "langevin"), ("bonds", "langevin"), ("bonds", "nose-hoover")]
)
def test_an_ideal_gas_of_dimers(tmp_path: Path, held: str, thermostat: str) -> None:
    """Five degrees of freedom each, kT/2 in every one, and p V = n k T of molecules, not of atoms."""
    system, base = box(tmp_path, dimers(6, 60.0, 1.1), FREE_GAS, units="real", **HELD[held])
    field = field_of(system, base)
    sampler = sampler_of(system, field, thermostat, 2.0)
    state = sampler.start(system.positions, 300.0, 3)
    state, _ = sampler.run(state, field.params(None), 300.0, 50, observe=False)
    _, frames = sampler.run(state, field.params(None), 300.0, 200)
    ideal = PRESSURE_UNIT * 216 * BOLTZMANN * 300.0 / system.volume
    for values, expected in ((frames.temperature, 300.0), (frames.pressure(), ideal)):
        error = standard_error(values, frames.replica)
        assert values.mean() == pytest.approx(expected, abs=4.0 * error + 0.005 * expected)
        assert error < 0.06 * expected
    assert (frames.bonded.sum(axis=(1, 2)) == 216).all()


@pytest.mark.parametrize(("held", "thermostat"), [("rigid", "langevin"), ("shake", "nose-hoover")])
def test_the_pressure_of_water(tmp_path: Path, held: str, thermostat: str) -> None:
    """The virial with what holds the molecules, beside the energy of boxes in which they are further apart as wholes.

    Both are averages of the same 40 frames; their difference has a standard error of 0.03 GPa, and a virial without
    these forces is off by more than 1 GPa.
    """
    commands = f"{SPCE}pair_modify shift yes\nkspace_modify mesh 24 24 24 order 5\n"
    system, base = box(tmp_path, water(), commands, units="real", **HELD[held])
    field = field_of(system, base)
    sampler = sampler_of(system, field, thermostat, 1.0, stride=20, positions=True)
    state = sampler.start(system.positions, 300.0, 1)
    params = field.params(None)
    state, _ = sampler.run(state, params, 300.0, 40, observe=False)
    _, frames = sampler.run(state, params, 300.0, 40)
    topology, ends = base.topology, []
    mass = np.bincount(topology.molecules, system.masses)[1:]
    for strain in (-1e-4, 1e-4):
        mover, energies = InProcess(replace(system, cell=system.cell * (1 + strain)), params), []
        for there in (topology.whole(one, system.cell) for one in frames.positions):
            centre = np.stack([np.bincount(topology.molecules, system.masses * x)[1:] / mass for x in there.T], axis=1)
            energies.append(mover.evaluate(there + strain * centre[topology.molecules - 1]).energy)
        ends.append(np.array(energies))
    slope = (ends[1] - ends[0]) / (6e-4 * system.volume)
    molecular = PRESSURE_UNIT * (64 * BOLTZMANN * 300.0 / system.volume - slope)
    kinetic = PRESSURE_UNIT * 64 * BOLTZMANN * (frames.temperature.mean() - 300.0) / system.volume
    assert frames.pressure().mean() - kinetic == pytest.approx(molecular.mean(), abs=0.12)


@pytest.mark.parametrize(("held", "thermostat"), [("rigid", "langevin"), ("shake", "nose-hoover")])
def test_blocks_go_on_and_are_those_of_the_program(tmp_path: Path, held: str, thermostat: str) -> None:
    system, base = box(tmp_path, water(), SPCE, units="real", **HELD[held])
    field = field_of(system, base)
    sampler = sampler_of(system, field, thermostat, 1.0, steps_per_block=20)
    params = field.params(None)
    start = sampler.start(system.positions, 300.0, 1)
    whole, frames = sampler.run(start, params, 300.0, 6)
    half, first = sampler.run(start, params, 300.0, 4)
    other = sampler_of(system, field_of(system, base), thermostat, 1.0, steps_per_block=20)
    end, second = other.run(half, params, 300.0, 2)
    np.testing.assert_array_equal(end.positions, whole.positions)
    np.testing.assert_array_equal(np.concatenate([first.energy, second.energy]), frames.energy)
    ours, theirs = (
        one.walk(sampler.start_of(start, 0, 300.0), sampler.motion, 2, 10, observe=True, where=(0, 0))
        for one in (InProcess(system, params), Program(system, params, 1, 1))
    )
    np.testing.assert_allclose(theirs.positions, ours.positions, atol=1e-6)
    np.testing.assert_allclose(theirs.energy, ours.energy, rtol=1e-6)
    np.testing.assert_allclose(theirs.virial, ours.virial, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("held", "thermostat"), [("rigid", "langevin"), ("bonds", "nose-hoover")])
def test_a_gas_of_dimers_at_constant_pressure(tmp_path: Path, held: str, thermostat: str) -> None:
    """<V> = (n + 1) kT/p of n molecules, where moves are even in ln V; twice as much if atoms counted, or bonds grew
    with the box."""
    system, base = box(tmp_path, dimers(3, 30.0, 1.1), FREE_GAS, units="real", **HELD[held])
    field = field_of(system, base)
    sampler, params = sampler_of(system, field, thermostat, 2.0), field.params(None)
    state = sampler.start(system.positions, 300.0, 3)
    expected = 28 * BOLTZMANN * 300.0 * PRESSURE_UNIT
    barostat = sampler.at_pressure(expected / system.volume, 5)
    state, cell, _ = barostat.run(state, system.cell, params, 300.0, 60, tune=True)
    state, cell, volumes = barostat.run(state, cell, params, 300.0, 400)
    assert volumes.volume.mean() == pytest.approx(system.volume, abs=4.0 * float(standard_error(volumes.volume)))
    assert standard_error(volumes.volume) < 0.1 * system.volume
    assert abs(np.linalg.det(cell)) == pytest.approx(volumes.volume[-1])
    assert base.topology.misfit(state.positions[0], cell, 1e-3) is None


def test_water_at_constant_pressure_is_what_its_energies_are_of(tmp_path: Path) -> None:
    """Positions, cell and energy belong together behind moves of the volume, and molecules stay as they are."""
    system, base = box(tmp_path, water(), SPCE, units="real", **HELD["rigid"])
    field = field_of(system, base)
    sampler, params = sampler_of(system, field, "langevin", 1.0), field.params(None)
    state = sampler.start(system.positions, 300.0, 1)
    state, cell, volumes = sampler.at_pressure(0.5, 5).run(state, system.cell, params, 300.0, 12)
    assert 0 < volumes.accepted.sum() < 12
    after = InProcess(replace(system, cell=cell), params).evaluate(state.positions[0])
    assert after.energy == pytest.approx(volumes.energy[-1], rel=1e-4)
    assert base.topology.misfit(state.positions[0], cell, 1e-3) is None


def test_what_is_refused(tmp_path: Path) -> None:
    for lines, words in {
        "bond_style table linear 10": "bond_style table linear 10 is not let through",
        "bond_coeff 1 ${x} 1.0": "'${x}' is not let through",
        "bond_coeff 1 v_x 1.0": "bond_coeff: 'v_x' is not let through",
        "special_bonds lj 0 0 2": "special_bonds lj is not let through",
        "special_bonds python 0 0 1": "special_bonds: 'python' is not let through",
        "special_bonds amber\nspecial_bonds charmm": "special_bonds twice",
    }.items():
        with pytest.raises(InputError) as caught:
            box(tmp_path, water(), f"{SPCE}{lines}")
        assert words in str(caught.value)
    for seen, words in {
        "O-N": "intramolecular: there is no pair O-N; species are O, H",
        "O-O": "intramolecular: no pair O-O within molecules is left out of pair potential and correction",
    }.items():
        system, base = box(tmp_path, water(), SPCE, intramolecular={seen: 0.07})
        with pytest.raises(InputError, match=words):
            field_of(system, base)
    system, base = box(tmp_path, water(), SPCE, intramolecular={"O-H": 0.07})
    with pytest.raises(InputError, match="no pair O-H within molecules is left out of pair potential and correction"):
        field_of(system, replace(base, everywhere=True))
    system, base = box(tmp_path, chains(), CHAIN, ("C:a", "C:b"), intramolecular={"C:a-C:b": (1.5, 0.05)})
    with pytest.raises(InputError, match="within molecules; give a width alone, C:a-C:b ="):
        field_of(system, base)
    model = LammpsModel(base="lammps", commands=SPCE)
    with pytest.raises(InputError, match="bond_style without molecules"):
        LammpsBase().read(model, ("O", "H"), species_pairs(("O", "H")), 6.0)
    system, base = box(tmp_path, water(), SPCE, units="real", rigid="molecules")
    sampler = sampler_of(system, field_of(system, base), "nose-hoover", 1.0)
    params = sampler.field.params(None)
    with pytest.raises(InputError, match="no thermostat 'nose-hoover' for rigid molecules; one of langevin"):
        sampler.run(sampler.start(system.positions, 300.0, 1), params, 300.0, 1)
    with pytest.raises(InputError, match="are not relaxed"):
        sampler.minimise(system.positions, params)
