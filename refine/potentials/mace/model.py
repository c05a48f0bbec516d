"""MACE as a pure function of neighbour vectors: site energies, and their derivatives.

`prepare` turns the arrays of a checkpoint into the parameters of the species at hand; everything that depends on
species alone is multiplied out there (`preparation`), once, in float64:

- the first layer's features are a table by species, so its gather, its radial output matrix and its linear mixing are
  one matrix for each pair of species (`first.l`), and no neighbour's features are ever gathered;
- couplings and weights of the symmetric contraction become one polynomial for each species and channel.

Energies here are without the isolated atoms E0: those can be large and would then take the digits of a float32
sum. Add `Mace.isolated` on the host, in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.mace import radial
from kernels.mace.chunks import cut_apart, join_apart
from kernels.mace.contraction import Monomials, coefficients_of, contract, contract_monomials, contract_plain
from kernels.mace.convolution import convolve, convolve_plain, energies_in_one_pass, near_first
from kernels.mace.spherical_harmonics import spherical_harmonics
from kernels.species import species_of
from refine.errors import InputError
from refine.potentials.mace import interaction
from refine.potentials.mace.architecture import Checkpoint, Layer
from refine.potentials.mace.derivatives import differentiated_as
from refine.potentials.mace.interaction import by_kind, first_message, mixed, outgoing
from refine.potentials.mace.pieces import CONTRACTION_CHUNK, CONVOLUTION_CHUNK, at_a_time, in_one_pass, narrow
from refine.potentials.mace.preparation import (
    couplings_of,
    embedded,
    head_of,
    input_rows,
    invariants,
    prepare_layer,
    rows_of,
)
from refine.potentials.mace.readouts import final_map, readout
from refine.potentials.mace.tabulate import FINEST, sampling_points, tabulate

_einsum = functools.partial(jnp.einsum, precision=radial.HIGHEST)


class _Edges(NamedTuple):
    """Slots (N, K, ...): senders, species of receivers (N, 1) and senders, distances, spherical harmonics."""

    senders: jax.Array
    receiver: jax.Array
    sender: jax.Array
    r: jax.Array
    harmonics: jax.Array


class Mace:
    """A MACE model for atoms that are sorted by species; every method is a pure function of `params`.

    Args:
        checkpoint: the model.
        species: chemical symbols, in the order of the atoms.
        n_per_species: atoms of each.
        head: of a model with several; may be left out where there is one.
        charge, spin: total charge (e) and spin multiplicity of the box, for models that take them.
        precision: "float32" or "float64".
        plain: the reference formulas instead of the fast kernels: several times slower, but differentiable by the
            weights (through `prepare`), in forward mode, and any number of times.
        table: interpolate the radial network instead of evaluating it (`refine.potentials.mace.tabulate`); default:
            in float32, unless plain.

    Attributes:
        cutoff: Å.
        isolated: (S,) float64 eV, energies of the isolated atoms, which are not part of the site energies.
        params: the argument of the methods, arrays of the precision.

    Raises:
        InputError: a species that the model does not know, an unknown head, an unknown precision, a charge or spin
            that the model does not know or take.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        species: Sequence[str],
        n_per_species: tuple[int, ...],
        *,
        head: str | None = None,
        charge: int = 0,
        spin: int = 1,
        precision: str = "float32",
        plain: bool = False,
        table: bool | None = None,
    ) -> None:
        if precision not in ("float32", "float64"):
            raise InputError(f"precision is {precision!r}; it must be float32 or float64")
        if len(species) != len(n_per_species):
            raise ValueError(f"{len(species)} species and {len(n_per_species)} numbers of atoms")
        self.architecture = checkpoint.architecture
        self.species, self.n_per_species = tuple(species), tuple(n_per_species)
        self.cutoff, self.precision, self.plain = self.architecture.r_max, precision, plain
        self.table = precision == "float32" and not plain if table is None else table
        self._rows = rows_of(self.architecture, self.species, checkpoint.origin)
        self._head = head_of(self.architecture, head, checkpoint.origin)
        self._inputs = input_rows(checkpoint, charge, spin, checkpoint.origin)
        self._couplings = [couplings_of(layer) for layer in self.architecture.layers]
        self.isolated: NDArray[np.float64] = checkpoint.weights["energies"][self._head, self._rows]
        self._monomials = invariants(self.architecture, checkpoint.weights)
        self._sample_network = jax.jit(self._values_and_slopes, static_argnums=0)
        self._weights = checkpoint.weights
        self.params = self.load({})

    def load(self, changed: Mapping[str, Any], inputs: tuple[int, ...] | None = None) -> Any:
        """`params` with some arrays of `Checkpoint.weights` changed, and `inputs` of `prepare`; a second call compiles
        nothing."""
        params = self.prepare({**self._weights, **changed}, inputs=inputs)
        if self.table:
            params = self._tabulated(params)
        with jax.enable_x64(self.precision == "float64"):
            return jax.tree.map(lambda leaf: jnp.asarray(leaf, self.precision), params)

    def prepare(self, weights: Mapping[str, Any], xp: Any = np, inputs: Any = None) -> dict[str, Any]:
        """The parameters of an evaluation without tables, from `Checkpoint.weights`.

        inputs: of `input_rows`, of another box; None: of that of the model's charge and spin.
        With xp = jax.numpy it can be traced, and differentiated together with a `plain` evaluation.
        """
        architecture, rows = self.architecture, self._rows
        numbers = np.array([architecture.species[row] for row in rows], float)
        params: dict[str, Any] = {
            "bessel": weights["bessel"],
            "scale": architecture.scale[self._head],
            "shift": architecture.shift[self._head],
        }
        if architecture.agnesi is not None or architecture.zbl is not None:
            radii = xp.asarray(weights["covalent_radii"])[rows]
            params["contact"] = radii[:, None] + radii[None, :]
        if architecture.zbl is not None:
            power = numbers**architecture.zbl.a_exp
            screening = architecture.zbl.a_prefactor * radial.BOHR / (power[:, None] + power[None, :])
            params["screening"] = xp.asarray(screening)
            params["charges"] = xp.asarray(numbers[:, None] * numbers[None, :])
        embedding = embedded(architecture, weights, self._inputs if inputs is None else inputs, rows, xp)
        params["layers"] = []
        for t, layer in enumerate(architecture.layers):

            def of(name: str, t: int = t) -> Any:
                return weights[f"layers.{t}.{name}"]

            params["layers"].append(prepare_layer(layer, of, rows, self._head, embedding if t == 0 else None, xp))
        return params

    def site_energies(self, params: Any, vectors: jax.Array, senders: jax.Array) -> jax.Array:
        """Energy of each atom without its E0: (N,) eV.

        vectors: (N, K, 3) Å, from each neighbour to the atom, r_i - r_j with the image. A slot that is not used has
        any vector that is finite and not shorter than the cutoff; it then adds exactly nothing.
        senders: (N, K) int32, the atom in each slot.
        """
        return self._evaluated(params, vectors, senders)[0]

    def features(self, params: Any, vectors: jax.Array, senders: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of each atom the derivative of its energy by the weights of the readouts' final linear maps, (N, P) eV, and
        its invariant features behind every layer, (N, D). Arguments as of `site_energies`."""
        layers, scalars = self.architecture.layers, self._evaluated(params, vectors, senders)[1]
        each = zip(layers, params["layers"], scalars, strict=True)
        last = [final_map(layer, weights, x)[0] for layer, weights, x in each if layer.readout != "none"]
        return params["scale"] * jnp.concatenate(last, axis=1), jnp.concatenate(scalars, axis=1)

    def _evaluated(self, params: Any, vectors: jax.Array, senders: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """Site energies, and the invariant features (N, C) behind each layer."""
        edges = self._edges(vectors, senders)
        _, energy, scalars = self._through(params, edges, len(self.architecture.layers))
        energies: jax.Array = params["scale"] * energy + params["shift"]
        return energies, scalars

    def _edges(self, vectors: jax.Array, senders: jax.Array) -> _Edges:
        if not self.plain and narrow(senders.shape[1]) < senders.shape[1]:
            vectors, senders = near_first(vectors, senders, self.cutoff)
        receiver = jnp.asarray(np.repeat(np.arange(len(self.species)), self.n_per_species)[:, None], jnp.int32)
        r = jnp.sqrt(jnp.sum(vectors * vectors, axis=-1))
        harmonics = spherical_harmonics(vectors / r[..., None], self.architecture.max_ell)
        return _Edges(senders, receiver, species_of(senders, self.n_per_species), r, harmonics)

    def _through(self, params: Any, edges: _Edges, layers: int) -> tuple[Any, jax.Array, list[jax.Array]]:
        """Behind some of the layers: features, energy (N,) without scale and shift, invariant features of each."""
        counts = self.n_per_species
        senders, receiver, sender, r, harmonics = edges
        energy = jnp.zeros(len(senders), r.dtype)
        if self.architecture.zbl is not None:
            energy += self._repulsion(params, r, receiver, sender)
        h, scalars = None, []
        for t, layer in enumerate(self.architecture.layers[:layers]):
            weights = params["layers"][t]
            a, density = self._radial(params, t, r, receiver, sender)
            lifted: list[jax.Array] = []
            if t == 0:
                parts = first_message(layer, weights, harmonics, a, sender, counts)
            else:
                lifted = interaction.lifted(layer, weights, h)
                gathered = jnp.concatenate(lifted, axis=1)
                paths = self._convolved(t, gathered, senders, harmonics, a, weights["matrix"])
                parts = mixed(layer, weights, self._couplings[t], paths, counts)
            summed = None if density is None else jnp.sum(density, axis=1)
            product = functools.partial(self._product, weights["product"])
            h = outgoing(layer, weights, product, parts, summed, lifted, h, receiver, counts)
            energy += readout(layer, weights, h[:, 0])
            scalars.append(h[:, 0])
        return h, energy, scalars

    def _convolved(
        self, t: int, h: jax.Array, senders: jax.Array, harmonics: jax.Array, a: jax.Array, matrix: jax.Array
    ) -> jax.Array:
        arguments = (h, senders, harmonics, a, matrix, self._couplings[t])
        if self.plain:
            return convolve_plain(*arguments)
        return convolve(*arguments, at_a_time(CONVOLUTION_CHUNK), narrow(senders.shape[1]))

    def _product(self, polynomial: Any, message: jax.Array) -> jax.Array:
        counts = self.n_per_species if len(polynomial.linear) > 1 else (len(message),)
        if self.plain:
            return contract_plain(message, polynomial, counts)
        return contract(message, polynomial, counts, at_a_time(CONTRACTION_CHUNK))

    def _radial(
        self, params: Any, t: int, r: jax.Array, receiver: jax.Array, sender: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        """Last hidden layer of a radial network (..., K, H), and the density function (..., K) where there is one."""
        layer, weights = self.architecture.layers[t], params["layers"][t]
        if self.table:
            chunk = r.shape[-1] * at_a_time(CONVOLUTION_CHUNK)
            return self._split(layer, radial.look_up(weights["table"], r, self._table_row(receiver, sender), chunk))
        contact = params["contact"][receiver, sender] if "contact" in params else None
        features, cut = self._features(params["bessel"], r, contact)
        a, density = self._network(layer, weights, features, cut, lambda table: table[receiver, sender])
        if layer.nonlinear and cut is None:  # biases: an edge beyond the cutoff would not be zero
            a, density = jnp.where((r < self.cutoff)[..., None], a, 0), jnp.where(r < self.cutoff, density, 0)
        return a, density

    def energies_and_gradients(
        self, params: Any, vectors: jax.Array, senders: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Site energies (N,) eV, and the derivative of their sum by the vectors, (N, K, 3) eV/Å."""
        by_jax = functools.partial(with_gradients, self.site_energies)
        if self.plain or not in_one_pass() or self._monomials is None:
            return by_jax(params, vectors, senders)
        # differentiated once more, one pass takes half as long again
        evaluated = differentiated_as(functools.partial(self._in_one_pass, self._monomials), by_jax)
        found: tuple[jax.Array, jax.Array] = evaluated(params, vectors, senders)
        return found

    def _in_one_pass(
        self, monomials: Monomials, params: Any, vectors: jax.Array, senders: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """`energies_and_gradients` where the last layer's derivative follows on each chunk of its messages."""
        last = len(self.architecture.layers) - 1
        layer, weights, couplings = self.architecture.layers[last], params["layers"][last], self._couplings[last]
        counts = self.n_per_species
        chunk = min(at_a_time(CONVOLUTION_CHUNK), max(counts))
        cut = functools.partial(cut_apart, counts=counts, chunk=chunk)

        def before(vectors: jax.Array) -> tuple[Any, jax.Array]:
            edges = self._edges(vectors, senders)
            h, energy, _ = self._through(params, edges, last)
            lifted = interaction.lifted(layer, weights, h)
            # atoms that fill up the last chunk of a species have no neighbours
            r, harmonics = cut(edges.r, fill=2 * self.cutoff), cut(edges.harmonics)
            a, density = self._radial(params, last, r, cut(edges.receiver), cut(edges.sender))
            own = {"h": cut(h), "lifted": [cut(part) for part in lifted]}
            if density is not None:
                own["density"] = jnp.sum(density, axis=2)
            return (energy, jnp.concatenate(lifted, axis=1), harmonics, a, own), cut(edges.senders)

        def rest(paths: jax.Array, own: Any, of_species: Any) -> jax.Array:
            weights = {**params["layers"][last], "skip": of_species["skip"]}
            counts = (len(paths),)
            parts = mixed(layer, weights, couplings, paths, counts)
            h = outgoing(
                layer,
                weights,
                lambda message: contract_monomials(message, of_species["product"], monomials)[:, None],
                parts,
                own.get("density"),
                own["lifted"],
                own["h"],
                None,
                counts,
            )
            return jnp.broadcast_to(readout(layer, weights, h[:, 0]), counts)

        (energy, h, harmonics, a, own), pull, cut_senders = jax.vjp(before, vectors, has_aux=True)
        energies, bars = energies_in_one_pass(
            h,
            (cut_senders, harmonics, a),
            own,
            rest,
            np.repeat(np.arange(len(counts)), [-(-n // chunk) for n in counts]),
            by_kind(layer, weights, coefficients_of(weights["product"], monomials), len(counts)),
            weights["matrix"],
            couplings,
            narrow(senders.shape[1]),
        )
        energy += join_apart(energies, counts)
        (gradients,) = pull((jnp.ones_like(energy), *bars))
        return params["scale"] * energy + params["shift"], params["scale"] * gradients

    # ---- parameters of the species at hand

    def _tabulated(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters with a table in each layer instead of its radial network."""
        contact = params["contact"].ravel()[:, None] if self.architecture.agnesi is not None else None
        rows = len(self.species) ** 2 if self._of_pairs else 1

        layers = []
        r = np.broadcast_to(sampling_points(self.cutoff), (rows, FINEST + 1))
        for layer, weights in zip(self.architecture.layers, params["layers"], strict=True):
            kept = {key: value for key, value in weights.items() if key not in ("radial", "density", "density_last")}
            network = {key: value for key, value in weights.items() if key not in kept}
            with jax.enable_x64(True):
                values, slopes = jax.device_get(
                    self._sample_network(layer, network, params["bessel"], contact, jnp.asarray(r))
                )
            layers.append(kept | {"table": tabulate(values, slopes, self.cutoff)})
        return {**params, "layers": layers}

    def _values_and_slopes(
        self, layer: Layer, weights: Any, bessel: jax.Array, contact: Any, r: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The radial network of a layer, its density last where there is one, and its derivative by r."""

        def network(r: jax.Array) -> jax.Array:
            features, cut = self._features(bessel, r, contact)
            # a row of the table for each pair of species
            a, density = self._network(
                layer, weights, features, cut, lambda table: table.reshape(-1, 1, table.shape[2])
            )
            return a if density is None else jnp.concatenate([a, density[..., None]], axis=-1)

        return jax.jvp(network, (r,), (jnp.ones_like(r),))

    # ---- the parts of an evaluation

    def _features(
        self, wave_numbers: jax.Array, r: jax.Array, contact: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array | None]:
        """Input of the radial networks (..., B), and the envelope where it belongs to their output."""
        architecture = self.architecture
        cut = radial.envelope(r, architecture.r_max, architecture.envelope_power)[..., None]
        if architecture.agnesi is not None:
            assert contact is not None
            agnesi = architecture.agnesi
            r = radial.agnesi(r, contact / 2, agnesi.a, agnesi.p, agnesi.q)
        features = radial.bessel(r, wave_numbers, architecture.bessel_prefactor)
        return (features, cut) if architecture.envelope_on_weights else (features * cut, None)

    @staticmethod
    def _network(
        layer: Layer, weights: Any, features: jax.Array, cut: jax.Array | None, pick: Callable[[jax.Array], jax.Array]
    ) -> tuple[jax.Array, Any]:
        """Last hidden layer of the radial network (..., H), and the density function (...,) where there is one.

        pick: of a table by receiver and sender (S, S, .) what belongs to each edge.
        """
        density: jax.Array | None = None
        if layer.nonlinear:
            of_radial, of_density = (
                radial.normalised_hidden(features, pick(weights[name].pair), weights[name], layer.norm_epsilon)
                for name in ("radial", "density")
            )
            a = jnp.concatenate([of_radial, jnp.ones_like(of_radial[..., :1])], axis=-1)  # the 1 is for the last bias
            last, bias = weights["density_last"]
            density = jnp.tanh((_einsum("...h,h->...", of_density, last) + bias) ** 2)
        else:
            a = radial.hidden(features, weights["radial"])
            if layer.density:
                density = jnp.tanh(_einsum("...b,b->...", features, weights["density"]) ** 2)
        if cut is None:
            return a, density
        return a * cut, None if density is None else density * cut[..., 0]

    def _repulsion(self, params: Any, r: jax.Array, receiver: jax.Array, sender: jax.Array) -> jax.Array:
        zbl = self.architecture.zbl
        assert zbl is not None
        charges, screening, contact = (params[name][receiver, sender] for name in ("charges", "screening", "contact"))
        pair = radial.zbl(r, charges, screening, zbl.c) * radial.envelope(r, contact, zbl.p)
        return jnp.sum(pair, axis=1) / 2

    @staticmethod
    def _split(layer: Layer, functions: jax.Array) -> tuple[jax.Array, Any]:
        """What a table holds, as `_network` gives it."""
        return (functions[..., :-1], functions[..., -1]) if layer.density else (functions, None)

    @property
    def _of_pairs(self) -> bool:
        """Whether the radial functions differ from one pair of species to another."""
        return self.architecture.agnesi is not None or any(layer.nonlinear for layer in self.architecture.layers)

    def _table_row(self, receiver: jax.Array, sender: jax.Array) -> jax.Array:
        """Row of the tables for each edge."""
        if not self._of_pairs:
            return jnp.zeros((), jnp.int32)
        return receiver * len(self.species) + sender


def with_gradients(
    site_energies: Callable[[Any, jax.Array, jax.Array], jax.Array],
    params: Any,
    vectors: jax.Array,
    senders: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Site energies (N,) of a function like `Mace.site_energies`, and their sum's derivative by the vectors."""

    def total(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        sites = site_energies(params, vectors, senders)
        return jnp.sum(sites), sites

    (_, sites), gradient = jax.value_and_grad(total, has_aux=True)(vectors)
    return sites, gradient
