"""Stillinger-Weber and Tersoff against the real LAMMPS and jax-md, in boxes large and small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from kernels.neighbors import build, choose_images
from refine.errors import InputError
from refine.potentials.bases import base_of
from refine.potentials.many_body.base import ManyBodyModel
from refine.potentials.many_body.potentials import StillingerWeber, Tersoff, many_body
from refine.study.schema import ModelFile
from refine.system import System, make_system
from tests.lammps_reference import energy_and_forces
from tests.potentials.classical.direct import CELLS, random_box

DIAMOND = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]]) / 4


def sw_file(p: StillingerWeber) -> str:
    return (
        f"Si Si Si {p.epsilon!r} {p.sigma!r} {p.a!r} {p.lambda3!r} {p.gamma!r} {p.cos_theta0!r}"
        f" {p.A!r} {p.B!r} {p.p!r} {p.q!r} 0.0\n"
    )


def tersoff_file(p: Tersoff) -> str:
    return (
        f"Si Si Si 3.0 1.0 {p.lambda3!r} {p.c!r} {p.d!r} {p.h!r} {p.n!r}\n"
        f"{p.beta!r} {p.lambda2!r} {p.B!r} {p.R!r} {p.D!r} {p.lambda1!r} {p.A!r}\n"
    )


POTENTIALS = {
    "stillinger-weber": (StillingerWeber(), "sw", sw_file),
    "tersoff": (Tersoff(), "tersoff", tersoff_file),
}


def shaken_diamond(a: float = 5.43, repeat: int = 3) -> System:
    cells = np.stack(np.meshgrid(*[np.arange(repeat)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    positions = a * (cells + DIAMOND).reshape(-1, 3)
    positions = positions + 0.15 * np.random.default_rng(3).standard_normal(positions.shape)
    return make_system({"Si": len(positions)}, a * repeat * np.eye(3), positions)


SYSTEMS = {
    "crystal": lambda: shaken_diamond(),
    "dense, triclinic": lambda: random_box({"Si": 160}, CELLS["triclinic"], 2.0),
    "dilute": lambda: random_box({"Si": 40}, CELLS["orthorhombic"], 2.0),
}


Evaluation = Callable[[float], tuple[float, np.ndarray, float]]


def evaluation(name: str, system: System, precision: str = "float64") -> Evaluation:
    """Energy, forces and virial of a system whose lengths are multiplied by a factor, as the sampler gets them."""
    kind = base_of(name)
    potential = kind.read(ManyBodyModel.model_validate({"base": name}), ("Si",), (("Si", "Si"),), 5.0)
    field = kind.force_field(potential, 3.0, system, precision)
    reach = field.cutoff + 0.1
    images = choose_images(system.cell, reach, system.n_atoms)

    @jax.jit
    def everything(positions: jax.Array, cell: jax.Array) -> tuple[jax.Array, ...]:
        neighbors = build(positions, cell, reach, capacity=48, orthorhombic=system.orthorhombic, images=images)
        params = field.params(None)
        observed = field.observables(params, positions, neighbors, cell)
        return neighbors.overflow, *observed, field.forces(params, positions, neighbors, cell)

    def at(scale: float) -> tuple[float, np.ndarray, float]:
        with jax.enable_x64(precision == "float64"):
            lengths = (jnp.asarray(scale * array, precision) for array in (system.positions, system.cell))
            overflow, *found = everything(*lengths)
            energy, virial, forces = (np.asarray(part, float) for part in found)
        assert not overflow
        return float(energy.sum()), forces, float(virial.sum())

    return at


@pytest.mark.parametrize("box", SYSTEMS)
@pytest.mark.parametrize("name", POTENTIALS)
def test_energy_and_forces_of_lammps(name: str, box: str, tmp_path: Path) -> None:
    potential, style, text = POTENTIALS[name]
    (tmp_path / "numbers").write_text(text(potential))
    system = SYSTEMS[box]()
    commands = [f"pair_style {style}", f"pair_coeff * * {tmp_path / 'numbers'} Si"]
    reference, theirs = energy_and_forces(system.cell, np.ones(system.n_atoms, int), system.positions, commands)
    energy, forces, _ = evaluation(name, system)(1.0)
    assert energy == pytest.approx(reference, rel=1e-6)
    np.testing.assert_allclose(forces, theirs, rtol=0, atol=1e-6 * np.sqrt(np.mean(theirs**2)))


@pytest.mark.parametrize("name", POTENTIALS)
def test_float32_and_the_virial(name: str) -> None:
    system = shaken_diamond(repeat=2)
    at = evaluation(name, system)
    energy, forces, virial = at(1.0)
    single = evaluation(name, system, "float32")(1.0)
    assert single[0] == pytest.approx(energy, rel=1e-5)
    np.testing.assert_allclose(single[1], forces, rtol=0, atol=2e-5 * np.abs(forces).max())
    assert virial == pytest.approx(-(at(1 + 1e-5)[0] - at(1 - 1e-5)[0]) / 2e-5, rel=1e-5)


@pytest.mark.parametrize(("name", "energy"), [("stillinger-weber", -4.3365), ("tersoff", -4.6297)])
def test_cohesive_energy_of_the_crystal(name: str, energy: float) -> None:
    """At a0 = 5.431 and 5.432 Å, eV an atom; a box of one cell, smaller than the cutoff's diameter, is as good."""
    a = {"stillinger-weber": 5.431, "tersoff": 5.432}[name]
    one = make_system({"Si": 8}, a * np.eye(3), a * DIAMOND)
    found, forces, _ = evaluation(name, one)(1.0)
    assert found / 8 == pytest.approx(energy, abs=3e-4)
    np.testing.assert_allclose(forces, 0.0, atol=1e-9)


def test_stillinger_weber_is_that_of_jax_md() -> None:
    from jax_md import energy, space

    system = shaken_diamond(repeat=2)
    with jax.enable_x64(True):
        displacement, _ = space.periodic(float(system.cell[0, 0]))
        theirs = float(jax.jit(energy.stillinger_weber(displacement))(jnp.asarray(system.positions)))
    assert evaluation("stillinger-weber", system)(1.0)[0] == pytest.approx(theirs, rel=1e-6)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="one element"):
        many_body("tersoff", ("C", "Si"), {})
    with pytest.raises(InputError, match="those of Si, and the system is Ge"):
        many_body("tersoff", ("Ge",), {"A": 1.0})
    with pytest.raises(InputError, match="no such parameter"):
        many_body("stillinger-weber", ("Si",), {"beta": 1.0})
    assert many_body("stillinger-weber", ("Si",), {"lambda3": 31.5}).lambda3 == 31.5
    kind = base_of("tersoff")
    with pytest.raises(ValidationError, match="base = 'tersoff' takes no 'r_cut'; a classical base has it"):
        ModelFile.model_validate({"label": "x", "model": {"base": "tersoff", "r_cut": 4.0}})
    with pytest.raises(InputError, match="cannot be refined"):
        kind.parameters(Tersoff(), ("A",), shaken_diamond(), np.linspace(0, 5, 6))
