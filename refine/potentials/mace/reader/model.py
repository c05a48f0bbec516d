"""A whole model: what is outside the layers, and the architecture that all of it makes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.potentials.mace.architecture import ZBL, Agnesi, Architecture
from refine.potentials.mace.reader.blocks import read_layers
from refine.potentials.mace.reader.e3nn import matrix_to_scalars
from refine.potentials.mace.reader.inputs import read_inputs
from refine.potentials.mace.reader.modules import Module
from refine.potentials.mace.reader.reading import Reading
from refine.potentials.mace.reader.refusals import MODELS, unsupported


def read_model(model: Reading) -> tuple[Architecture, dict[str, NDArray[Any]], dict[str, float]]:
    """Architecture, arrays and factors, as `refine.potentials.mace.architecture` has them, not yet checked.

    Raises:
        InputError: a feature that is not evaluated, or parts that do not fit together.
    """
    root = model.root
    species = tuple(root.integers("atomic_numbers"))
    heads = read_heads(model)
    embedding = model.expect(root.child("node_embedding"), "mace", "LinearNodeEmbeddingBlock").child("linear")
    table, factor = matrix_to_scalars(model, embedding, (len(species), None))
    model.channels = table.shape[1]
    model.put("embedding", table, factor)
    harmonics = model.expect(root.child("spherical_harmonics"), "e3nn", "SphericalHarmonics")
    if not harmonics.flag("normalize", False) or harmonics.get("normalization") != "component":
        raise unsupported(root, "a model with unnormalised spherical harmonics")
    model.harmonics = harmonics.irreps("irreps_out")
    if model.harmonics != [(1, l, (-1) ** l) for l in range(len(model.harmonics))]:
        raise unsupported(root, "a model with other spherical harmonics than all up to some l, with their parity")
    r_max = root.number("r_max")
    bessel_prefactor, envelope_power, on_weights, agnesi = read_radial(model, r_max, species)
    zbl = read_repulsion(model, species)
    read_energies(model, heads, species)
    scale, shift = read_scale_shift(model, len(heads))
    inputs = read_inputs(model)
    layers = read_layers(model, len(heads))
    architecture = Architecture(
        r_max=r_max,
        species=species,
        heads=heads,
        channels=model.channels,
        max_ell=len(model.harmonics) - 1,
        bessel_prefactor=bessel_prefactor,
        envelope_power=envelope_power,
        envelope_on_weights=on_weights,
        agnesi=agnesi,
        zbl=zbl,
        scale=scale,
        shift=shift,
        layers=layers,
        dtype=str(model.arrays["layers.0.up.0"].dtype),
        inputs=inputs,
    )
    return architecture, model.arrays, model.factors


def read_heads(model: Reading) -> tuple[str, ...]:
    """Their names; one is called "default" where the file has none."""
    names = model.root.get("heads", None)
    if names is None:
        return ("default",)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise model.root.error("has heads that are no list of names")
    return tuple(names)


def read_radial(model: Reading, r_max: float, species: tuple[int, ...]) -> tuple[float, float, bool, Agnesi | None]:
    """Prefactor of the Bessel functions, power of the envelope, whether it is on the weights, distance transform."""
    block = model.expect(model.root.child("radial_embedding"), "mace", "RadialEmbeddingBlock")
    bessel, cutoff = block.child("bessel_fn"), block.child("cutoff_fn")
    if bessel.kind != "BesselBasis":
        raise unsupported(model.root, f"a model with the radial basis {bessel.kind}", "BesselBasis is supported")
    model.expect(cutoff, "mace", "PolynomialCutoff")
    if not math.isclose(cutoff.number("r_max"), r_max, rel_tol=1e-6):
        raise model.root.error("has two different cutoffs")
    model.put("bessel", bessel.array("bessel_weights"))
    agnesi = None
    if "distance_transform" in block:
        transform = block.child("distance_transform")
        if transform.kind != "AgnesiTransform":
            fix = "AgnesiTransform is supported"
            raise unsupported(model.root, f"a model with the distance transform {transform.kind}", fix)
        agnesi = Agnesi(*(transform.number(name) for name in ("a", "p", "q")))
        read_radii(model, transform, species)
    apply_cutoff = block.flag("apply_cutoff", True)
    return bessel.number("prefactor"), cutoff.number("p"), not apply_cutoff, agnesi


def read_repulsion(model: Reading, species: tuple[int, ...]) -> ZBL | None:
    """The repulsion of nuclei; None: the model has none."""
    if "pair_repulsion" not in model.root:  # mace-torch asks for this attribute, not for the function
        return None
    function = model.expect(model.root.child("pair_repulsion_fn"), "mace", "ZBLBasis")
    read_radii(model, function, species)
    c = function.array("c")
    if c.shape != (4,):
        raise function.error(f"has {c.size} coefficients instead of 4")
    values = tuple(float(value) for value in c)
    p, a_exp, a_prefactor = (function.number(name) for name in ("p", "a_exp", "a_prefactor"))
    return ZBL(p=p, a_exp=a_exp, a_prefactor=a_prefactor, c=(values[0], values[1], values[2], values[3]))


def read_radii(model: Reading, module: Module, species: tuple[int, ...]) -> None:
    """Covalent radii of the species, from a table by atomic number."""
    table = module.array("covalent_radii")
    if table.ndim != 1 or not species or not 0 <= min(species) <= max(species) < len(table):
        raise module.error("has covalent radii that do not cover the species")
    radii = table[list(species)]
    if not (radii > 0).all():
        raise module.error("has covalent radii that are not positive")
    if not np.array_equal(model.arrays.setdefault("covalent_radii", radii), radii):
        raise model.root.error("has two different tables of covalent radii")


def read_energies(model: Reading, heads: tuple[str, ...], species: tuple[int, ...]) -> None:
    """E0 of isolated atoms, (heads, species) eV."""
    block = model.expect(model.root.child("atomic_energies_fn"), "mace", "AtomicEnergiesBlock")
    energies = block.array("atomic_energies")
    rows = energies.shape if energies.ndim == 2 else (1, *energies.shape)
    if rows != (len(heads), len(species)):
        what = f"has energies of shape {energies.shape} for {len(heads)} heads and {len(species)} species"
        raise block.error(what)
    model.put("energies", energies.reshape(rows))


def read_scale_shift(model: Reading, heads: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and shift (heads,) of the energy of an atom; a plain MACE has 1 and 0."""
    if str(model.root.node.kind) == MODELS[0]:
        return (1.0,) * heads, (0.0,) * heads
    block = model.expect(model.root.child("scale_shift"), "mace", "ScaleShiftBlock")
    found = []
    for name in ("scale", "shift"):
        array = block.array(name)
        if array.ndim > 1 or array.size != heads:
            raise block.error(f"has {array.size} values of {name} for {heads} heads")
        found.append(tuple(float(value) for value in array.reshape(-1)))
    return found[0], found[1]
