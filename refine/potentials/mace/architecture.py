"""What a MACE checkpoint is to the engine: an architecture, and named arrays of weights.

Every number of a published model is in one of the two; nothing here knows files, torch or jax. The formulas are those
of I. Batatia et al., NeurIPS 35, 11423 (2022); the letters of this table are used by all modules of the package.

    Z   species of the checkpoint (89 in the foundation models), in the order of `Architecture.species`
    C   channels;  H  heads;  B  radial basis functions
    l   of incoming features (`Layer.l_in`), of messages (`Layer.l_message`) and of outgoing features (`Layer.l_out`)
    P   paths (l1, l2, l3) of the channel-wise tensor product: feature x spherical harmonic -> message

Arrays of layer t, with the normalising factors of e3nn already multiplied in (`Checkpoint.weights`), so that every use
is a bare product. `x @ W` is meant where a matrix stands.

    energies                        (H, Z)     isolated atoms E0, eV
    embedding                       (Z, C)     features of a species before the first layer
    covalent_radii                  (Z,)       Å; where there is an Agnesi transform or a ZBL repulsion
    bessel                          (B,)       wave numbers, 1/Å
    layers.t.up.l                   (C, C)     features -> what is gathered, for l in l_in
    layers.t.radial.k               (in, out)  radial network, k = 0, 1, ...; silu between, its constant in the next
    layers.t.radial.last            (in, P, C) its last layer: one number for each path and channel
    layers.t.density                (B, 1)     with `Layer.density`: one number for each edge
    layers.t.message.l              (P_l, C, C) sum over paths that end in l, in the order of `Layer.paths`; the average
                                               number of neighbours is divided out (not with `Layer.density`)
    layers.t.skip.l                 (Z, C, C)  by the species of the receiving atom: features -> what is added after the
                                               product (`Layer.residual`, l in l_in and l_out), or message -> message
                                               (otherwise, l in l_message)
    layers.t.basis.l.nu             (monomials, 2l+1, K) symmetric contraction, l in l_out, nu = 1 .. correlation: for
                                               each of the K couplings the coefficients of the monomials of degree nu in
                                               the message components, `monomials(components, nu)`
    layers.t.product.l.nu           (Z or 1, K, C) weights of the couplings
    layers.t.linear.l               (C, C)     after the contraction, l in l_out
    layers.t.readout.0              (C, H) linear, or (C, H * M) hidden with head-major units (M = readout_hidden)
    layers.t.readout.1              (H * M, H) after silu, its constant multiplied in; only units of its own head act

A layer without a readout has no such arrays. With `Layer.edge_channels` E, features are lifted to E channels: `up` is
(C, E), `radial.last` (in, P, E) and `message` (P_l, E, C).

A non-linear layer (`Layer.nonlinear`) has gates, and networks with biases, whose input is x = [Bessel functions; source
of the sender; target of the receiver], B + 2C numbers. With M what is mixed by `message`, its message is
f(M / (alpha + beta Σ tanh(d(x)^2)) + residual). f takes (1 + l_max) C scalars and C of each other l, and gives silu of
the first C scalars, and each other l times the sigmoid of its own C scalars. Instead of the arrays of the same name
above it has

    layers.t.source, target         (Z, C)     by species
    layers.t.radial.k               (in, out)  as above, and
    layers.t.radial_bias.k          (out,)     added to it, then
    layers.t.radial_norm.k          (2, out)   slope and shift of a layer norm, then silu
    layers.t.radial_bias.last       (P, E)
    layers.t.density.k, density_bias.k, density_norm.k, density.last (in, 1), density_bias.last (1,)  the same for d
    layers.t.normaliser             (2,)       alpha, beta
    layers.t.message.l              (P_l, E, C) but ((1 + l_max) C) columns for l = 0
    layers.t.residual.l             (E, as message.l) from the receiver's lifted features, l in l_in
    layers.t.gated.l                (C, C)     after the gate, its constants multiplied in, l in l_message
    layers.t.skip.l                 (C, C)     for all species

A biased readout (`Layer.readout` = "biased") has a hidden layer more: readout.0 (C, H M), readout.1 (H M, H M),
readout_bias.1 (H M,), readout.2 (H M, H), readout_bias.2 (H,). Inputs of the whole box (`Architecture.inputs`) have

    inputs.k                        (classes, width) a vector for each value of input k
    project                         (sum of widths, C) silu of (joined vectors times this) is added to `embedding`
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Agnesi:
    """x = 1 / (1 + a u^q / (1 + u^(q-p))), u = r / r0, r0 the mean of both covalent radii; the Bessel functions get x.

    Source: C. van der Oord et al., ACEpotentials.jl, J. Chem. Phys. 159, 164101 (2023).
    """

    a: float
    p: float
    q: float


@dataclass(frozen=True)
class ZBL:
    """Half of 14.3996 eV Å Z1 Z2 phi(r/a) / r to each atom, times the envelope with power p that ends at the sum of the
    covalent radii; a = a_prefactor 0.529 Å / (Z1^a_exp + Z2^a_exp), phi = Σ c exp(-(3.2, 0.9423, 0.4028, 0.2016) r/a).

    Source: J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids (1985).
    """

    p: float
    a_exp: float
    a_prefactor: float
    c: tuple[float, float, float, float]


INPUTS = ("total_charge", "total_spin")
"""What a box can have besides atoms: its charge (e), and its spin multiplicity. Named as in mace-torch."""


@dataclass(frozen=True)
class BoxInput:
    """A whole number that belongs to the box, such as its charge; the features of a species depend on it.

    Attributes:
        name: one of `INPUTS`.
        offset: row of the value 0.
    """

    name: str
    offset: int


@dataclass(frozen=True)
class Layer:
    """One interaction, its product and its readout.

    Attributes:
        density: messages are divided by 1 + Σ tanh(d^2) of the edges instead of the average number of neighbours; by
            alpha + beta Σ tanh(d^2) where the layer is non-linear.
        residual: incoming features are added after the product; else the message is mixed by species before it.
        l_in, l_message, l_out: ascending.
        paths: (l1, l2, l3), in the order of the radial weights.
        path_factors: what the Wigner 3j symbol of each path (unit norm) is multiplied with.
        radial_hidden: number of hidden layers of the radial network.
        correlation: highest degree nu of the product.
        readout: "linear", "nonlinear", "biased", or "none".
        readout_hidden: M, hidden units of a nonlinear or biased readout for each head; else 0.
        edge_channels: E; None: C.
        nonlinear: see the module's docstring.
        density_hidden: number of hidden layers of the density network; 0 unless non-linear.
        norm_epsilon: added to the variance in layer norms.
    """

    density: bool
    residual: bool
    l_in: tuple[int, ...]
    l_message: tuple[int, ...]
    l_out: tuple[int, ...]
    paths: tuple[tuple[int, int, int], ...]
    path_factors: tuple[float, ...]
    radial_hidden: int
    correlation: int
    readout: str
    readout_hidden: int
    edge_channels: int | None = None
    nonlinear: bool = False
    density_hidden: int = 0
    norm_epsilon: float = 0.0

    def paths_to(self, l: int) -> tuple[int, ...]:
        """Indices of the paths that end in l."""
        return tuple(k for k, path in enumerate(self.paths) if path[2] == l)


@dataclass(frozen=True)
class Architecture:
    """Everything about a model but its arrays.

    Attributes:
        r_max: cutoff, Å.
        species: atomic numbers, in the order of the arrays.
        heads: their names; ("default",) where the file has none.
        channels: C.
        max_ell: highest l of the spherical harmonics (e3nn's real ones: component normalised, y the polar axis).
        bessel_prefactor: of sin(k r)/r.
        envelope_power: p of the polynomial envelope.
        envelope_on_weights: the envelope multiplies the outputs of the radial network and of the density function
            instead of their input.
        agnesi, zbl: None where the model has none.
        scale, shift: (H,); energy of an atom = E0 + scale (ZBL + readouts) + shift. Models without them have 1 and 0.
        layers: interactions in order.
        dtype: of the file's weights, "float32" or "float64".
        inputs: of the whole box, in the order of the arrays.
    """

    r_max: float
    species: tuple[int, ...]
    heads: tuple[str, ...]
    channels: int
    max_ell: int
    bessel_prefactor: float
    envelope_power: float
    envelope_on_weights: bool
    agnesi: Agnesi | None
    zbl: ZBL | None
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    layers: tuple[Layer, ...]
    dtype: str
    inputs: tuple[BoxInput, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Nested dictionaries and lists that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        """The architecture that `to_json` wrote. KeyError, TypeError or ValueError where the tree is not one."""
        fields = {key: _tuples(value) for key, value in tree.items()}
        fields["agnesi"] = None if tree["agnesi"] is None else Agnesi(**tree["agnesi"])
        fields["zbl"] = None if tree["zbl"] is None else ZBL(**{k: _tuples(v) for k, v in tree["zbl"].items()})
        fields["inputs"] = tuple(BoxInput(**given) for given in tree.get("inputs", ()))
        fields["layers"] = tuple(Layer(**{k: _tuples(v) for k, v in layer.items()}) for layer in tree["layers"])
        return cls(**fields)


@dataclass(frozen=True)
class Checkpoint:
    """A model as it lies in a file.

    Attributes:
        architecture: see there.
        arrays: the file's numbers in its precision, shaped as in the table above.
        factors: what some arrays are to be multiplied with (e3nn's normalisation, exact only in float64), by name.
        sha256: of the file that the user gave, hex.
        origin: that file's name, without its folder.
    """

    architecture: Architecture
    arrays: Mapping[str, NDArray[Any]]
    factors: Mapping[str, float]
    sha256: str
    origin: str

    @cached_property
    def weights(self) -> dict[str, NDArray[np.float64]]:
        """The arrays of the table, factors multiplied in, float64."""
        factors = self.factors
        return {name: np.asarray(array, np.float64) * factors.get(name, 1.0) for name, array in self.arrays.items()}


def monomials(components: int, degree: int) -> NDArray[np.int64]:
    """Index lists i <= j <= ... of all monomials of a degree: (count, degree), in lexicographic order.

    >>> monomials(2, 3).tolist()
    [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]
    """
    return np.array(list(itertools.combinations_with_replacement(range(components), degree)), np.int64)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
