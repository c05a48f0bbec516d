"""Checkpoints of mace-torch 0.3 in; an `Architecture` and named arrays, or a clear error, out.

A `.model` file is a whole pickled torch module. It is read without torch and without running anything in it
(`pickles`, `modules`); what it says about itself decides here whether refine evaluates exactly this model. Whatever is
not known is refused by name: a model evaluated almost right would be worse than none.

Everything is taken from where mace-torch's `forward` takes it: the paths, factors and coefficients that e3nn stored,
the coupling matrices U (their basis depends on how the model was made), and the constant of silu, which e3nn
estimated by Monte Carlo.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import CheckpointError, InputError
from refine.potentials.mace.architecture import ZBL, Agnesi, Architecture, Checkpoint, Layer, monomials
from refine.potentials.mace.places import cache_folder
from refine.potentials.mace.reader.archives import MAX_BYTES
from refine.potentials.mace.reader.checks import MAX_ARRAY_BYTES, MAX_LAYERS, check, skipped
from refine.potentials.mace.reader.modules import Module, TorchFile, mapping, say
from refine.potentials.mace.reader.neutral import read_bytes, read_neutral, write_neutral
from refine.potentials.mace.reader.pickles import Name, Object

__all__ = ["load", "read_neutral", "read_torch", "write_neutral"]

_MODELS = ("mace.modules.models.MACE", "mace.modules.models.ScaleShiftMACE")
_PARTS = {
    "node_embedding",
    "radial_embedding",
    "pair_repulsion_fn",
    "spherical_harmonics",
    "atomic_energies_fn",
    "interactions",
    "products",
    "readouts",
    "scale_shift",
}
_BLOCKS = {  # density, residual
    "RealAgnosticInteractionBlock": (False, False),
    "RealAgnosticResidualInteractionBlock": (False, True),
    "RealAgnosticDensityInteractionBlock": (True, False),
    "RealAgnosticDensityResidualInteractionBlock": (True, True),
}
MAX_PRODUCTS = 2**22
"""Products of message components that a coupling matrix is indexed by; published models have 4096."""

_SILU = ("torch.nn.functional.silu", "torch._C._nn.silu", "torch.nn.modules.activation.SiLU")


def load(path: str | Path, cache: Path | None = None) -> Checkpoint:
    """A model from either kind of file, told apart by its content.

    A file of mace-torch is converted once; the neutral form is kept in the cache under its hash, and later loads read
    that alone. A damaged entry of the cache is made again, and a cache that cannot be written is done without.

    Args:
        path: the file.
        cache: folder; None for that of `refine.potentials.mace.places`.

    Raises:
        InputError: the file cannot be read, or is not a model that refine evaluates.
    """
    file = Path(path)
    if _is_neutral(read_bytes(file, first=9)):
        return read_neutral(file)
    data = read_bytes(file, MAX_BYTES)
    sha256 = hashlib.sha256(data).hexdigest()
    entry = (cache_folder() if cache is None else cache) / f"{sha256}.safetensors"
    try:
        known = read_neutral(entry)
        if known.sha256 == sha256:
            return replace(known, origin=file.name)
    except InputError:
        pass  # not there yet, of another version, or damaged
    checkpoint = _from_torch(data, sha256, file)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        write_neutral(checkpoint, entry)
    except (CheckpointError, OSError):
        pass
    return checkpoint


def read_torch(path: str | Path) -> Checkpoint:
    """A model as mace-torch saved it: `torch.save` of the whole module.

    Raises:
        InputError: the file cannot be read, or is not a model that refine evaluates.
    """
    file = Path(path)
    data = read_bytes(file, MAX_BYTES)
    return _from_torch(data, hashlib.sha256(data).hexdigest(), file)


def _is_neutral(head: bytes) -> bool:
    """A safetensors file begins with a length and a JSON object; in a zip archive of torch that place holds a zero."""
    return head[8:9] == b"{"


def _from_torch(data: bytes, sha256: str, file: Path) -> Checkpoint:
    where = str(file)
    if not data.startswith(b"PK\3\4"):
        if data.startswith(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"):
            fix = "load and save it with a torch of at least 1.6"
            raise InputError("a file of torch older than 1.6, which was no zip archive", where=where, fix=fix)
        fix = "give a .model file of mace-torch, or what `refine models convert` wrote"
        raise InputError("neither a model of mace-torch nor one in refine's neutral form", where=where, fix=fix)
    root = _root(TorchFile(data, where))
    architecture, arrays, factors = _Reader(root).read()
    check(architecture, arrays, factors, where=where)
    return Checkpoint(architecture, arrays, factors, sha256, file.name)


# --- what is refused --------------------------------------------------------------------------------------------------


def _unsupported(root: Module, what: str, fix: str | None = None) -> InputError:
    return InputError(f"{what}, which refine does not evaluate", where=root.file.where, fix=fix)


def _root(file: TorchFile) -> Module:
    """The model's module, where it is one of those that are evaluated."""
    tree = file.tree
    whole = "save the whole model: torch.save(model, path)"
    if not isinstance(tree, Object) or mapping(tree):
        if mapping(tree):
            what = "a state_dict or training state: weights without the model they belong to"
            raise InputError(what, where=file.where, fix=whole)
        raise InputError(f"the file holds {say(tree)} instead of a model", where=file.where, fix=whole)
    root, kind = Module(file, tree, ""), str(tree.kind)
    name = root.kind
    if kind in _MODELS:
        _refuse_features(root)
        return root
    if "LAMMPS" in name:
        raise _unsupported(root, f"a model wrapped for LAMMPS ({name})", "give the original .model")
    if root.package != "mace":
        raise InputError(f"the file holds a {kind} instead of a model of mace-torch", where=file.where, fix=whole)
    for word, feature in (
        ("Dipole", "dipoles"),
        ("Dielectric", "dipoles and polarisabilities"),
        ("Polar", "long-range electrostatics"),
        ("LES", "long-range electrostatics (LES)"),
        ("Field", "external fields"),
    ):
        if word in name:
            raise _unsupported(root, f"a model with {feature} ({name})")
    raise _unsupported(root, f"a model of the class {name}", "MACE and ScaleShiftMACE are")


def _refuse_features(root: Module) -> None:
    if "joint_embedding" in root or root.get("embedding_specs", None):
        raise _unsupported(root, "a model with joint embeddings of further inputs (charge, spin, ...)")
    if root.flag("use_so3", False):
        raise _unsupported(root, "a model without parity (use_so3)")
    if extra := sorted(set(root.parts) - _PARTS):
        raise _unsupported(root, f"a model with the extra part {extra[0]!r}")
    for layer in (*root.children("interactions"), *root.children("products")):
        _refuse_accelerators(root, layer, 0)


def _refuse_accelerators(root: Module, module: Module, depth: int) -> None:
    """Layers and layouts of cuEquivariance and OpenEquivariance, whose weights lie otherwise."""
    if module.package.startswith("cuequivariance"):
        fix = "convert it: mace_cueq_to_e3nn, of mace-torch"
        raise _unsupported(root, f"a model saved for cuEquivariance ({module.path})", fix)
    if module.package == "openequivariance":
        raise _unsupported(root, f"a model saved for OpenEquivariance ({module.path})", "convert it to e3nn first")
    for key, name in (("cueq_config", "cuEquivariance"), ("oeq_config", "OpenEquivariance")):
        config = module.get(key, None)
        state = config.state if isinstance(config, Object) else config
        if config is not None and (
            not isinstance(state, dict) or state.get("enabled") or state.get("layout_str", "mul_ir") != "mul_ir"
        ):
            fix = "convert it: mace_cueq_to_e3nn, of mace-torch" if key == "cueq_config" else "convert it to e3nn first"
            raise _unsupported(root, f"a model saved for {name} ({module.path}.{key})", fix)
    if depth < 2:
        for part in module.parts:
            if isinstance(module.get(part), Object):
                _refuse_accelerators(root, module.child(part), depth + 1)


# --- what is read -----------------------------------------------------------------------------------------------------


class _Reader:
    """One model that is being read: its arrays and factors as they are found.

    Args:
        root: the model's module.
    """

    def __init__(self, root: Module) -> None:
        self.root = root
        self.arrays: dict[str, NDArray[Any]] = {}
        self.factors: dict[str, float] = {}
        self.channels = self.size = 0
        self.harmonics: list[tuple[int, int, int]] = []

    def read(self) -> tuple[Architecture, dict[str, NDArray[Any]], dict[str, float]]:
        root = self.root
        species = tuple(root.integers("atomic_numbers"))
        heads = self.heads()
        embedding = self.expect(root.child("node_embedding"), "mace", "LinearNodeEmbeddingBlock").child("linear")
        table, factor = self.linear(embedding)[0]
        self.channels = table.shape[1]
        self.put("embedding", table, factor)
        harmonics = self.expect(root.child("spherical_harmonics"), "e3nn", "SphericalHarmonics")
        if not harmonics.flag("normalize", False) or harmonics.get("normalization") != "component":
            raise _unsupported(root, "a model with unnormalised spherical harmonics")
        self.harmonics = harmonics.irreps("irreps_out")
        if self.harmonics != [(1, l, (-1) ** l) for l in range(len(self.harmonics))]:
            raise _unsupported(root, "a model with other spherical harmonics than all up to some l, with their parity")
        r_max = root.number("r_max")
        bessel_prefactor, envelope_power, on_weights, agnesi = self.radial(r_max, species)
        zbl = self.repulsion(species)
        self.energies(heads, species)
        scale, shift = self.scale_shift(len(heads))
        layers = self.layers(len(heads))
        architecture = Architecture(
            r_max=r_max,
            species=species,
            heads=heads,
            channels=self.channels,
            max_ell=len(self.harmonics) - 1,
            bessel_prefactor=bessel_prefactor,
            envelope_power=envelope_power,
            envelope_on_weights=on_weights,
            agnesi=agnesi,
            zbl=zbl,
            scale=scale,
            shift=shift,
            layers=layers,
            dtype=str(self.arrays["layers.0.up.0"].dtype),
        )
        return architecture, self.arrays, self.factors

    def put(self, name: str, array: NDArray[Any], factor: float = 1.0) -> None:
        """Keep an array. Many of them can lie in one place of the file, so their sum is limited too."""
        self.size += array.nbytes
        if self.size > MAX_ARRAY_BYTES:
            raise self.root.error(f"has weights of more than {MAX_ARRAY_BYTES / 2**30:.0f} GiB")
        self.arrays[name] = array
        if factor != 1.0:
            self.factors[name] = factor

    def expect(self, module: Module, package: str, kind: str) -> Module:
        """The module itself, where it is of this class."""
        if (module.package, module.kind) != (package, kind):
            what = f"{module.path} is a {module.package} {module.kind} instead of a {kind}"
            raise _unsupported(self.root, f"a model in which {what}")
        return module

    def heads(self) -> tuple[str, ...]:
        names = self.root.get("heads", None)
        if names is None:
            return ("default",)
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise self.root.error("has heads that are no list of names")
        return tuple(names)

    # parts outside the layers

    def radial(self, r_max: float, species: tuple[int, ...]) -> tuple[float, float, bool, Agnesi | None]:
        block = self.expect(self.root.child("radial_embedding"), "mace", "RadialEmbeddingBlock")
        bessel, cutoff = block.child("bessel_fn"), block.child("cutoff_fn")
        if bessel.kind != "BesselBasis":
            raise _unsupported(self.root, f"a model with the radial basis {bessel.kind}", "BesselBasis is supported")
        self.expect(cutoff, "mace", "PolynomialCutoff")
        if not math.isclose(cutoff.number("r_max"), r_max, rel_tol=1e-6):
            raise self.root.error("has two different cutoffs")
        self.put("bessel", bessel.array("bessel_weights"))
        agnesi = None
        if "distance_transform" in block:
            transform = block.child("distance_transform")
            if transform.kind != "AgnesiTransform":
                fix = "AgnesiTransform is supported"
                raise _unsupported(self.root, f"a model with the distance transform {transform.kind}", fix)
            agnesi = Agnesi(*(transform.number(name) for name in ("a", "p", "q")))
            self.radii(transform, species)
        apply_cutoff = block.flag("apply_cutoff", True)
        return bessel.number("prefactor"), cutoff.number("p"), not apply_cutoff, agnesi

    def repulsion(self, species: tuple[int, ...]) -> ZBL | None:
        if "pair_repulsion" not in self.root:  # mace-torch asks for this attribute, not for the function
            return None
        function = self.expect(self.root.child("pair_repulsion_fn"), "mace", "ZBLBasis")
        self.radii(function, species)
        c = function.array("c")
        if c.shape != (4,):
            raise function.error(f"has {c.size} coefficients instead of 4")
        values = tuple(float(value) for value in c)
        p, a_exp, a_prefactor = (function.number(name) for name in ("p", "a_exp", "a_prefactor"))
        return ZBL(p=p, a_exp=a_exp, a_prefactor=a_prefactor, c=(values[0], values[1], values[2], values[3]))

    def radii(self, module: Module, species: tuple[int, ...]) -> None:
        """Covalent radii of the species, from a table by atomic number."""
        table = module.array("covalent_radii")
        if table.ndim != 1 or not species or not 0 <= min(species) <= max(species) < len(table):
            raise module.error("has covalent radii that do not cover the species")
        radii = table[list(species)]
        if not (radii > 0).all():
            raise module.error("has covalent radii that are not positive")
        if not np.array_equal(self.arrays.setdefault("covalent_radii", radii), radii):
            raise self.root.error("has two different tables of covalent radii")

    def energies(self, heads: tuple[str, ...], species: tuple[int, ...]) -> None:
        block = self.expect(self.root.child("atomic_energies_fn"), "mace", "AtomicEnergiesBlock")
        energies = block.array("atomic_energies")
        rows = energies.shape if energies.ndim == 2 else (1, *energies.shape)
        if rows != (len(heads), len(species)):
            what = f"has energies of shape {energies.shape} for {len(heads)} heads and {len(species)} species"
            raise block.error(what)
        self.put("energies", energies.reshape(rows))

    def scale_shift(self, heads: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if str(self.root.node.kind) == _MODELS[0]:
            return (1.0,) * heads, (0.0,) * heads
        block = self.expect(self.root.child("scale_shift"), "mace", "ScaleShiftBlock")
        found = []
        for name in ("scale", "shift"):
            array = block.array(name)
            if array.ndim > 1 or array.size != heads:
                raise block.error(f"has {array.size} values of {name} for {heads} heads")
            found.append(tuple(float(value) for value in array.reshape(-1)))
        return found[0], found[1]

    # layers

    def layers(self, heads: int) -> tuple[Layer, ...]:
        root = self.root
        interactions, products, readouts = (root.children(name) for name in ("interactions", "products", "readouts"))
        count = len(interactions)
        if len(products) != count or root.number("num_interactions") != count or not 1 <= count <= MAX_LAYERS:
            raise root.error(f"has {count} interactions and {len(products)} products")
        if len(readouts) not in (1, count):
            raise root.error(f"has {len(readouts)} readouts for {count} layers")
        # mace-torch: a single readout acts on the last layer, else each on its own.
        of_layer: list[Module | None] = [None] * (count - len(readouts)) + list(readouts)
        layers: list[Layer] = []
        incoming: tuple[int, ...] = (0,)
        for t, (interaction, product, readout) in enumerate(zip(interactions, products, of_layer, strict=True)):
            layer = self.interaction(f"layers.{t}", interaction, incoming)
            layer = self.product(f"layers.{t}", product, layer, is_last=t == count - 1)
            self.skip(f"layers.{t}", interaction, layer)
            if readout is not None:
                layer = self.readout(f"layers.{t}", readout, layer, heads)
            layers.append(layer)
            incoming = layer.l_out
        return tuple(layers)

    def interaction(self, at: str, block: Module, incoming: tuple[int, ...]) -> Layer:
        """What comes before the product, but for the skip; fields of the product and readout are still empty."""
        if block.package != "mace" or block.kind not in _BLOCKS:
            reasons = (("NonLinear", "non-linear interaction blocks"), ("Att", "attention"))
            feature = next((reason for word, reason in reasons if word in block.kind), "unknown interaction blocks")
            fix = f"{', '.join(_BLOCKS)} are supported"
            raise _unsupported(self.root, f"a model with {feature} ({block.kind})", fix)
        density, residual = _BLOCKS[block.kind]
        up, tensor_product, mix = block.child("linear_up"), block.child("conv_tp"), block.child("linear")
        features, edges = self.ells(up, "irreps_in"), self.ells(up, "irreps_out", "edge_irreps")
        if sorted(features) != list(incoming) or sorted(edges) != list(incoming):
            raise _unsupported(
                self.root, f"a model whose edge_irreps are not the irreps of the features ({block.path})"
            )
        for l, (matrix, factor) in self.linear(up).items():
            self.put(f"{at}.up.{l}", matrix, factor)
        paths, path_factors = self.paths(tensor_product)
        # Without a density every message is divided by the average number of neighbours.
        neighbours = 1.0 if density else block.number("avg_num_neighbors")
        if neighbours == 0:
            raise block.error("has no neighbours on average")
        for l, (matrix, factor) in self.linear(mix).items():
            count = sum(path[2] == l for path in paths)
            if matrix.shape != (count * self.channels, self.channels):
                raise mix.error(f"mixes {matrix.shape[0]} channels of {count} paths of l = {l}")
            self.put(f"{at}.message.{l}", matrix.reshape(count, self.channels, self.channels), factor / neighbours)
        hidden = self.network(f"{at}.radial", block.child("conv_tp_weights"), len(paths))
        if density:
            net = block.child("density_fn")
            if self.network(f"{at}.density", net, None):
                raise _unsupported(self.root, f"a model whose {net.path} has several layers")
        return Layer(
            density=density,
            residual=residual,
            l_in=incoming,
            l_message=tuple(sorted(self.ells(mix, "irreps_out"))),
            l_out=(),
            paths=paths,
            path_factors=path_factors,
            radial_hidden=hidden,
            correlation=0,
            readout="none",
            readout_hidden=0,
        )

    def paths(self, module: Module) -> tuple[tuple[tuple[int, int, int], ...], tuple[float, ...]]:
        """(l1, l2, l3) and factor of each path of the channel-wise product, in the order of its weights."""
        self.expect(module, "e3nn", "TensorProduct")
        one, two, out = (module.irreps(name) for name in ("irreps_in1", "irreps_in2", "irreps_out"))
        if two != self.harmonics:
            raise module.error("does not take the spherical harmonics")
        paths, factors = [], []
        for k, (i, j, o, mode, has_weight, factor, _) in enumerate(module.instructions(7)):
            first, second, third = _slot(module, one, i), _slot(module, two, j), _slot(module, out, o)
            if mode != "uvu" or has_weight is not True or o != k:
                raise module.error("is no channel-wise product with one weight for each path and channel")
            if (first[0], second[0], third[0]) != (self.channels, 1, self.channels):
                raise _unsupported(self.root, f"a model whose channels differ between irreps ({module.path})")
            for _, l, parity in (first, second, third):
                self.parity(module, l, parity)
            paths.append((first[1], second[1], third[1]))
            factors.append(self.root.file.scalar(factor, f"{module.path}: a path weight"))
        return tuple(paths), tuple(factors)

    def network(self, name: str, net: Module, paths: int | None) -> int:
        """A network of e3nn without biases, silu between its layers; the number of hidden ones.

        Its weights are divided by sqrt(inputs), and silu is multiplied with a constant, which goes to the next layer.
        """
        self.expect(net, "e3nn", "FullyConnectedNet")
        layers = [net.child(part) for part in net.parts]
        if not layers:
            raise net.error("has no layers")
        constant = 1.0
        for k, layer in enumerate(layers):
            self.expect(layer, "e3nn", "_Layer")
            weight, last = layer.array("weight"), k == len(layers) - 1
            h_in, var_in, var_out = (layer.number(key) for key in ("h_in", "var_in", "var_out"))
            if weight.ndim != 2 or weight.shape[0] != h_in or not (var_in > 0 and var_out > 0):
                raise layer.error(f"has a weight of shape {weight.shape}")
            if last != (layer.get("act", None) is None):
                raise _unsupported(self.root, f"a model whose {net.path} has its activations in other places")
            factor = constant / math.sqrt(h_in * var_in)
            if not last:
                self.put(f"{name}.{k}", weight, factor)
                constant = self.silu(layer.child("act")) * math.sqrt(var_out)
                continue
            factor *= math.sqrt(var_out)
            if paths is None:
                self.put(name, weight, factor)
            elif weight.shape[1] != paths * self.channels:
                raise layer.error(f"has {weight.shape[1]} outputs for {paths} paths of {self.channels} channels")
            else:
                self.put(f"{name}.last", weight.reshape(-1, paths, self.channels), factor)
        return len(layers) - 1

    def silu(self, activation: Module) -> float:
        """The constant that e3nn multiplies an activation with; only silu is known."""
        self.expect(activation, "e3nn", "normalize2mom")
        function = activation.get("f")
        name = str(function.kind if isinstance(function, Object) else function) if function is not None else "None"
        if not isinstance(function, Name | Object) or name not in _SILU:
            raise _unsupported(self.root, f"a model with the activation {say(function)} ({activation.path})", "silu is")
        return 1.0 if activation.flag("_is_id", False) else activation.number("cst")

    def product(self, at: str, block: Module, layer: Layer, *, is_last: bool) -> Layer:
        """The symmetric contraction and the linear layer after it."""
        self.expect(block, "mace", "EquivariantProductBasisBlock")
        if layer.residual and not block.flag("use_sc", True):
            raise _unsupported(self.root, f"a model whose {block.path} drops the residual")
        contraction = self.expect(block.child("symmetric_contractions"), "mace", "SymmetricContraction")
        if self.ells(contraction, "irreps_in") != layer.l_message:
            raise contraction.error("does not take the messages in ascending order of l")
        mix = block.child("linear")
        ells = self.ells(mix, "irreps_out")
        if self.ells(mix, "irreps_in") != ells or self.ells(contraction, "irreps_out") != ells:
            raise block.error("has irreps that do not fit together")
        if 0 not in ells:
            raise block.error("has no scalars")
        # Only scalars of the last layer are read out; others that the model keeps have no effect on the energy.
        used = (0,) if is_last else tuple(sorted(ells))
        contractions = contraction.children("contractions")
        if len(contractions) != len(ells):
            raise contraction.error(f"has {len(contractions)} contractions for {len(ells)} irreps")
        components = sum(2 * l + 1 for l in layer.l_message)
        orders = set()
        for l, part in zip(ells, contractions, strict=True):
            if l in used:
                orders.add(self.contraction(at, part, l, components))
        if len(orders) != 1:
            raise contraction.error("has correlations that differ between irreps")
        for l, (matrix, factor) in self.linear(mix).items():
            if l in used:
                self.put(f"{at}.linear.{l}", matrix, factor)
        return replace(layer, l_out=used, correlation=orders.pop())

    def contraction(self, at: str, part: Module, l: int, components: int) -> int:
        """Couplings and weights of one l; the correlation."""
        self.expect(part, "mace", "Contraction")
        lower = self.expect(part.child("weights"), "torch", "ParameterList")
        correlation = 1 + len(lower.parameters)
        if correlation > 20:
            raise part.error(f"has {correlation} orders")
        for nu in range(1, correlation + 1):
            weights = part.array("weights_max") if nu == correlation else lower.array(str(correlation - 1 - nu))
            coupling = part.array(f"U_matrix_{nu}")
            if weights.ndim != 3 or coupling.ndim < 1 or coupling.shape[-1] != weights.shape[1]:
                raise part.error(f"has weights of shape {weights.shape} for couplings of shape {coupling.shape}")
            if components**nu > MAX_PRODUCTS:
                what = f"a model with {components} components of messages to the power of {nu}"
                raise _unsupported(self.root, what)
            if coupling.size != (2 * l + 1) * components**nu * weights.shape[1]:
                raise part.error(f"has couplings of shape {coupling.shape} for {components} components and l = {l}")
            full = coupling.reshape(2 * l + 1, components**nu, weights.shape[1])
            self.put(f"{at}.basis.{l}.{nu}", _symmetrised(full, components, nu))
            self.put(f"{at}.product.{l}.{nu}", weights)
        return correlation

    def skip(self, at: str, block: Module, layer: Layer) -> None:
        """The product with the one-hot species: a matrix (channel, channel) of each species."""
        module = self.expect(block.child("skip_tp"), "e3nn", "FullyConnectedTensorProduct")
        one, two, out = (module.irreps(name) for name in ("irreps_in1", "irreps_in2", "irreps_out"))
        self.ells(module, "irreps_in1"), self.ells(module, "irreps_out")
        species = len(self.root.integers("atomic_numbers"))
        if two != [(species, 0, 1)]:
            raise module.error("does not take one scalar for each species")
        weight, used, wanted = module.array("weight"), 0, skipped(layer)
        size = self.channels * species * self.channels
        for i, _, o, mode, has_weight, factor, _ in module.instructions(7):
            l, target = _slot(module, one, i)[1], _slot(module, out, o)[1]
            if mode != "uvw" or has_weight is not True or l != target or weight.ndim != 1 or used + size > weight.size:
                raise module.error("has paths that are not a matrix for each species")
            if l in wanted:
                matrix = weight[used : used + size].reshape(self.channels, species, self.channels)
                number = self.root.file.scalar(factor, f"{module.path}: a path weight")
                # e3nn contracts with the Wigner 3j symbol (l, 0, l), which is 1/sqrt(2l+1) on its diagonal.
                self.put(f"{at}.skip.{l}", matrix.transpose(1, 0, 2), number / math.sqrt(2 * l + 1))
            used += size
        if used != weight.size:
            raise module.error("has more weights than paths")

    def readout(self, at: str, block: Module, layer: Layer, heads: int) -> Layer:
        if block.package == "mace" and block.kind == "LinearReadoutBlock":
            matrix, factor = self.scalars(block.child("linear"), (self.channels, heads))
            self.put(f"{at}.readout.0", matrix, factor)
            return replace(layer, readout="linear")
        if block.package != "mace" or block.kind != "NonLinearReadoutBlock":
            feature = "biases in a readout" if "Bias" in block.kind else "an unknown readout"
            raise _unsupported(self.root, f"a model with {feature} ({block.kind})")
        masks = block.get("num_heads", 1)
        if heads > 1 and masks != heads:
            raise _unsupported(self.root, f"a model whose {heads} heads share the hidden units of a readout")
        activations = block.child("non_linearity").children("acts")
        if len(activations) != 1:
            raise _unsupported(
                self.root, f"a model without one activation in its readout ({block.path})", "silu is needed"
            )
        constant = self.silu(activations[0])
        first, factor = self.scalars(block.child("linear_1"), (self.channels, None))
        hidden = first.shape[1]
        if hidden == 0 or hidden % heads:
            raise block.error(f"has {hidden} hidden units for {heads} heads")
        self.put(f"{at}.readout.0", first, factor)
        second, factor = self.scalars(block.child("linear_2"), (hidden, heads))
        self.put(f"{at}.readout.1", second, factor * constant)
        return replace(layer, readout="nonlinear", readout_hidden=hidden // heads)

    def scalars(self, module: Module, shape: tuple[int, int | None]) -> tuple[NDArray[Any], float]:
        """Matrix and factor of a linear layer to scalars."""
        found = self.linear(module)
        matrix, factor = found.get(0, (np.zeros((0, 0)), 1.0))
        if list(found) != [0] or matrix.shape[0] != shape[0] or shape[1] not in (None, matrix.shape[1]):
            raise module.error(f"is a matrix of shape {matrix.shape}")
        return matrix, factor

    # layers of e3nn

    def linear(self, module: Module) -> dict[int, tuple[NDArray[Any], float]]:
        """Matrix (inputs, outputs) and factor of each l that a linear layer of e3nn leads to.

        Where several slots lead to one l their rows follow each other in the order of the slots.
        """
        self.expect(module, "e3nn", "Linear")
        inputs, outputs = module.irreps("irreps_in"), module.irreps("irreps_out")
        for _, l, parity in (*inputs, *outputs):
            self.parity(module, l, parity)
        instructions = module.instructions(4)
        if any(i == -1 for i, *_ in instructions) or (
            "bias" in module and module.file.tensor(module.get("bias"), f"{module.path}.bias").size
        ):
            raise _unsupported(self.root, f"a model with biases ({module.path})")
        weight, used = module.array("weight"), 0
        blocks: dict[int, list[tuple[int, NDArray[Any], float]]] = {}
        for i, o, _, factor in instructions:
            (rows, l, _), (columns, target, _) = _slot(module, inputs, i), _slot(module, outputs, o)
            if l != target or min(rows, columns) < 1 or weight.ndim != 1 or used + rows * columns > weight.size:
                raise module.error("has paths that do not fit its weights")
            number = self.root.file.scalar(factor, f"{module.path}: a path weight")
            block = weight[used : used + rows * columns].reshape(rows, columns)
            blocks.setdefault(o, []).append((i, block, number))
            used += rows * columns
        if used != weight.size:
            raise module.error("has more weights than paths")
        found: dict[int, tuple[NDArray[Any], float]] = {}
        for o, parts in blocks.items():
            parts.sort(key=lambda part: part[0])
            _, l, _ = outputs[o]
            if l in found or len({number for *_, number in parts}) != 1:
                raise _unsupported(self.root, f"a model that treats parts of one l differently ({module.path})")
            matrices = [matrix for _, matrix, _ in parts]
            found[l] = (matrices[0] if len(matrices) == 1 else np.concatenate(matrices), parts[0][2])
        return dict(sorted(found.items()))

    def ells(self, module: Module, name: str, feature: str = "hidden irreps") -> tuple[int, ...]:
        """The l of each slot; every slot must have all channels, and no l may be there twice."""
        slots = module.irreps(name)
        for count, l, parity in slots:
            self.parity(module, l, parity)
            if count != self.channels:
                what = f"a model whose {feature} have {count} channels of l = {l} and {self.channels} elsewhere"
                raise _unsupported(self.root, what)
        ells = tuple(l for _, l, _ in slots)
        if len(set(ells)) != len(ells):
            raise _unsupported(self.root, f"a model with one l twice ({module.path}.{name})")
        return ells

    def parity(self, module: Module, l: int, parity: int) -> None:
        if parity != (-1) ** (l % 2) or not 0 <= l <= 20:
            sign = "e" if parity == 1 else "o"
            raise _unsupported(self.root, f"a model with features of irrep {l}{sign} ({module.path})")


def _slot(module: Module, slots: list[tuple[int, int, int]], index: Any) -> tuple[int, int, int]:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(slots):
        raise module.error("has a path to a slot that does not exist")
    return slots[index]


def _symmetrised(coupling: NDArray[Any], components: int, degree: int) -> NDArray[np.float64]:
    """Coefficients of the monomials of a form U[m, (i, j, ...), k] x_i x_j ...: (monomials, m, k).

    All factors are components of one vector, so a monomial's coefficient is the sum over the distinct orders of its
    indices. In float64: a sum of numbers of float32 is not one.
    """
    indices = np.indices((components,) * degree, np.int32).reshape(degree, -1)
    indices.sort(axis=0)
    size = (components,) * degree
    places = np.asarray(np.ravel_multi_index(tuple(indices), size))
    order = np.argsort(places, kind="stable")
    rows = np.moveaxis(coupling, 1, 0)[order].astype(np.float64)
    known = np.ravel_multi_index(tuple(monomials(components, degree).T), size)
    starts = np.searchsorted(places[order], known)
    summed: NDArray[np.float64] = np.add.reduceat(rows, starts, axis=0)
    return summed
