"""Reverse Monte Carlo: atoms are moved until their curves are the measured ones. No potential, no temperature.

Single atoms are displaced at random; a move is accepted with probability min(1, exp(-Δchi^2 / 2)) and never when it
brings two atoms closer than the minimum distance of their species, with

    chi^2 = Σ_curves e' (Σ/weight)^-1 e,     e = y - [baseline + s (A h + y0 - baseline) + Σ_j b_j background_j]

of the configuration at hand, h its pair counts. A move costs O(N): the distances of one atom to all others before and
after it change the counts, and the change of the counts changes e. Source: R. L. McGreevy and L. Pusztai, Mol. Simul.
1, 359 (1988).

What it samples are structures as disordered as data and constraints allow: exp(-chi^2 / 2) over the uniform
distribution. A single configuration fluctuates more than a measured mean does, so with errors much smaller than these
fluctuations the atoms fit the noise too.

A block of frames is one compiled program. Counts are made anew at its start, kept by differences through the moves, and
compared with a recount at its end; as everything that the next block depends on is in `MoveState`, a run continued
from a stored state is bit for bit the one that never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.cell import minimum_image, split, wrap
from kernels.histogram import pair_histogram
from kernels.shells import ideal_pair_counts
from kernels.species import number_of_pairs, pair_row, species_of
from refine.compiled import announce
from refine.errors import InputError, SimulationError
from refine.sampling.frames import Frames
from refine.sampling.jax import random_numbers
from refine.sampling.jax.device import precision
from refine.sampling.moves.curves import MeasuredCurve, Nuisances, Whitened
from refine.sampling.state import MoveState, State
from refine.system import System

Array = NDArray[np.float64]
Positions = NDArray[np.floating[Any]]
Counts = NDArray[np.floating[Any]]

ACCEPTANCE = (0.3, 0.5)
"""Share of accepted moves outside of which the step length changes, by at most a factor of two a block."""

FIRST_STEP, SHORTEST_STEP = 0.2, 1e-3
"""Å; the longest step along each axis, at the start and ever. No step is longer than half of the box."""

MOVES_PER_BLOCK, FRAMES_PER_BLOCK = 20_000, 1000
"""The work of a block, a third of a second on two cores for 500 atoms, and the most frames in one."""

HIGHEST = jax.lax.Precision.HIGHEST


def chi2_change(error: jax.Array, step: jax.Array) -> jax.Array:
    """|error - step|^2 - |error|^2 of whitened misfits (n,), without the difference of two large sums.

    One atom changes chi^2 by parts of one where chi^2 itself may be a million, which float32 cannot tell apart.
    """
    return jnp.sum(step * (step - 2.0 * error))


class _Moves(NamedTuple):
    """Random numbers of the moves between two frames: atoms (M,), displacements (M, 3) Å, uniform numbers (M,)."""

    atom: jax.Array
    displacement: jax.Array
    uniform: jax.Array


class _Walk(NamedTuple):
    """Carried from move to move: coordinates (N,) each, counts (slots,) int32, L^-1 e (n,), chi^2, moves accepted."""

    x: jax.Array
    y: jax.Array
    z: jax.Array
    counts: jax.Array
    error: jax.Array
    chi2: jax.Array
    accepted: jax.Array


class ReverseMonteCarlo:
    """Samples one state by moving atoms; a `refine.sampling.engine.FrameMaker`.

    system: atoms and cell.  curves: measured in this state, see `MeasuredCurve`; none: the ideal gas with its minimum
        distances.
    minimum_distances: (pairs,) Å, in the order (0,0), (0,1), ..., (1,1), ...; zero: none. Atoms that are closer at the
        start may only move apart.
    stride: attempted moves of every atom between frames.  n_bins, r_max: histogram of pair distances, Å.
    dtype: "float32" or "float64".  replicas: independent configurations, each fitted to the data by itself.

    Raises InputError when r_max does not fit into the box, or a number is out of range.
    """

    def __init__(
        self,
        system: System,
        curves: Sequence[MeasuredCurve],
        *,
        minimum_distances: Array,
        stride: int,
        n_bins: int,
        r_max: float,
        dtype: str = "float32",
        replicas: int = 1,
    ) -> None:
        system.check_distance(r_max, "r_max of the pair counts")
        for name, value in (("stride", stride), ("n_bins", n_bins), ("replicas", replicas)):
            if not value > 0:
                raise InputError(f"{name} is {value}; it must be above zero")
        if dtype not in ("float32", "float64"):
            raise InputError(f"precision is {dtype!r}; it must be float32 or float64")
        self._n_pairs = number_of_pairs(len(system.species))
        distances = np.asarray(minimum_distances, np.float64)
        if distances.shape != (self._n_pairs,):
            raise ValueError(f"minimum_distances have shape {distances.shape}; there are {self._n_pairs} pairs")
        if not ((distances >= 0) & (distances < r_max)).all():
            raise InputError(f"minimum distances {distances.tolist()} Å must lie between 0 and r_max = {r_max:.3f} Å")
        self.system, self.minimum_distances, self.stride = system, distances, stride
        self.n_bins, self.r_max, self.dtype, self.replicas = n_bins, r_max, np.dtype(dtype), replicas
        self.frames_per_block = int(np.clip(MOVES_PER_BLOCK // (stride * system.n_atoms), 1, FRAMES_PER_BLOCK))
        self._n_curves = len(curves)
        edges = np.linspace(0.0, r_max, n_bins + 1)
        reference = np.round(ideal_pair_counts(system.n_per_species, system.volume, edges)).ravel()
        self._whitened = Whitened.of(curves, reference)
        self._program: Callable[..., Any] | None = None
        self._compilations = 0

    @property
    def compilations(self) -> int:
        """Programs compiled so far: one, however many runs."""
        return self._compilations

    def start(self, positions: Positions, temperature: float, seed: int) -> MoveState:
        """A first state.

        positions: (N, 3) for every replica, or (R, N, 3), Å; for example of a melt under the base model.
        temperature: K, only noted in the frames.
        Random numbers of replica k follow from (seed, k).
        """
        shape = (self.replicas, self.system.n_atoms, 3)
        positions = np.asarray(positions, np.float64)
        if positions.shape not in (shape, shape[1:]):
            raise ValueError(f"positions have shape {positions.shape}; expected {shape} or {shape[1:]}")
        if not temperature > 0:
            raise InputError(f"temperature is {temperature} K; it must be above zero")
        with precision(self.dtype):
            keys = jax.random.split(random_numbers.new_key(seed), self.replicas)
            data = np.asarray(jax.random.key_data(keys))
        return MoveState(
            positions=self._wrapped(np.broadcast_to(positions, shape)),
            key=data,
            step_length=np.full(self.replicas, FIRST_STEP),
            step=0,
        )

    def adopted(self, state: State, temperature: float, seed: int) -> MoveState:
        """A state of moves as it is; of a state of anything else, such as dynamics, the start from its positions."""
        return state if isinstance(state, MoveState) else self.start(state.positions, temperature, seed)

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing is noted of moves."""
        return ()

    def chi2(self, counts: Counts, params: tuple[Array, Array] | None = None) -> Array:
        """chi^2 (...,) of counts (..., pairs, bins), of single configurations or of their mean."""
        w, nuisances = self._whitened, self._nuisances(params)
        flat = np.asarray(counts, np.float64).reshape(*np.shape(counts)[:-2], -1) - w.reference
        error = w.offset(nuisances) - nuisances.scale[w.curve] * (flat @ w.matrix.T)
        return np.asarray((error**2).sum(axis=-1))

    def run(
        self,
        state: MoveState,
        params: tuple[Array, Array] | None,
        temperature: float,
        frames: int,
        *,
        observe: bool = True,
        on_block: Callable[[int], None] | None = None,
    ) -> tuple[MoveState, Frames]:
        """Advance every replica by `frames` frames, `stride` attempted moves of every atom each.

        params: scale and background of every curve, see `Nuisances`; None: one and zero.
        temperature: K, noted in the frames. Their energy and virial are 0.0: there is no potential, and a pressure made
            of them says nothing.
        observe, on_block, what is returned and how runs add up: as `Sampler.run`.
        Raises SimulationError when chi^2 is not finite.
        """
        if frames < 1:
            raise InputError(f"frames is {frames}; it must be at least 1")
        if not isinstance(state, MoveState):
            raise ValueError("the state was made by another sampler; begin with ReverseMonteCarlo.start")
        nuisances = self._nuisances(params)
        counts: list[Counts] = []
        done = 0
        with precision(self.dtype):
            while done < frames:
                count = min(self.frames_per_block, frames - done)
                state, observed = self._block(state, nuisances, count, observe)
                if observe:
                    counts.append(observed)
                done += count
                if on_block is not None:
                    on_block(done)
        return state, self._frames(counts, temperature)

    # ---- on the host

    def _block(
        self, state: MoveState, nuisances: Nuisances, count: int, observe: bool
    ) -> tuple[MoveState, NDArray[np.float32]]:
        """One block of `count` frames: the next state, and the counts (R, count, pairs, bins)."""
        if self._program is None:
            self._program = self._compile()
        end, key, buffer, accepted, chi2, recount = jax.device_get(
            self._program(
                jnp.asarray(state.positions, self.dtype),
                jnp.asarray(state.key),
                jnp.asarray(state.step_length, self.dtype),
                Nuisances(*(jnp.asarray(value, self.dtype) for value in nuisances)),
                jnp.asarray(count, jnp.int32),
            )
        )
        where = f"moves {state.step} to {state.step + count * self.stride} of every atom"
        if not np.isfinite(chi2).all():
            raise SimulationError("chi^2 is no longer a finite number", where=where, fix="check the measured curves")
        self._compare(buffer[:, count - 1], recount, where)
        share = accepted / (count * self.stride * self.system.n_atoms)
        within = (share >= ACCEPTANCE[0]) & (share <= ACCEPTANCE[1])
        factor = np.where(within, 1.0, np.clip(share / np.mean(ACCEPTANCE), 0.5, 2.0))
        after = MoveState(
            positions=self._wrapped(end),
            key=key,
            step_length=np.clip(state.step_length * factor, SHORTEST_STEP, self.system.r_box),
            step=state.step + count * self.stride,
        )
        return after, buffer[:, :count]

    @staticmethod
    def _compare(kept: Counts, bounds: Counts, where: str) -> None:
        """Counts kept by differences (R, P, bins) against recounts (R, 2, P, bins) with all distances rounded up, then
        down: pairs below each edge."""
        below = np.cumsum(kept, axis=-1, dtype=np.float64)
        least, most = np.moveaxis(np.cumsum(bounds, axis=-1, dtype=np.float64), 1, 0)
        wrong = (below < least) | (below > most)
        if wrong.any():
            raise RuntimeError(f"{where}: pair counts differ from a recount in {int(wrong.sum())} bins")

    def _frames(self, counts: list[Counts], temperature: float) -> Frames:
        shape = (self.replicas, 0, self._n_pairs, self.n_bins)
        joined = np.concatenate(counts or [np.zeros(shape, np.float32)], axis=1)
        total = joined.shape[0] * joined.shape[1]
        return Frames(
            counts=joined.reshape(total, self._n_pairs, self.n_bins),
            energy=np.zeros(total),
            virial=np.zeros(total),
            temperature=np.full(total, float(temperature)),
            replica=np.repeat(np.arange(self.replicas), joined.shape[1]),
            r_max=self.r_max,
            n_per_species=self.system.n_per_species,
            volume=self.system.volume,
        )

    def _wrapped(self, positions: Positions) -> Positions:
        return wrap(positions, self.system.cell).astype(self.dtype)

    def _nuisances(self, params: tuple[Array, Array] | None) -> Nuisances:
        modes = self._whitened.background.shape[1]
        if params is None:
            return Nuisances(np.ones(self._n_curves), np.zeros((self._n_curves, modes)))
        for value, shape in zip(params, ((self._n_curves,), (self._n_curves, modes)), strict=True):
            if np.shape(value) != shape:
                raise ValueError(f"scales and backgrounds of {self._n_curves} curves expected; got {np.shape(value)}")
        return Nuisances(*params)

    # ---- the compiled program

    def _compile(self) -> Callable[..., Any]:
        """The program of one block, of all replicas. Its buffers have room for a full block, so that the number of
        frames compiles nothing."""
        one = self._one_replica

        def program(positions: Any, key: Any, step_length: Any, nuisances: Nuisances, count: Any) -> Any:
            self._compilations += 1  # Python runs while tracing only
            announce("moves of atoms")
            whitened = Whitened(
                *(jnp.asarray(a, jnp.int32 if a.dtype.kind == "i" else self.dtype) for a in self._whitened)
            )
            return jax.vmap(one, in_axes=(0, 0, 0, None, None, None))(
                positions, key, step_length, whitened, nuisances, count
            )

        return jax.jit(program)

    def _one_replica(
        self,
        positions: jax.Array,
        key: jax.Array,
        step_length: jax.Array,
        whitened: Whitened,
        nuisances: Nuisances,
        count: jax.Array,
    ) -> tuple[jax.Array, ...]:
        system = self.system
        moves = self.stride * system.n_atoms
        cell = jnp.asarray(system.cell, self.dtype)
        minimum = jnp.asarray(self.minimum_distances, self.dtype)
        kind = species_of(jnp.arange(system.n_atoms, dtype=jnp.int32), system.n_per_species)
        scale = nuisances.scale[whitened.curve] if self._n_curves else jnp.zeros(0, self.dtype)
        offset = whitened.offset(nuisances)
        matrix = scale[:, None] * whitened.matrix

        def histogram(positions: jax.Array, r_max: float | jax.Array) -> jax.Array:
            return pair_histogram(positions, cell, system.n_per_species, self.n_bins, r_max, system.orthorhombic)

        def draw(key: jax.Array) -> _Moves:
            uniform = jax.random.uniform(key, (5, moves), self.dtype)
            atom = jnp.minimum((uniform[0] * system.n_atoms).astype(jnp.int32), system.n_atoms - 1)
            return _Moves(atom, step_length * (2 * uniform[1:4].T - 1), uniform[4])

        def frame(index: jax.Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
            walk, key, buffer = carry
            key, drawn = jax.random.split(random_numbers.wrap(key))
            # e is made anew of the counts, which are exact: its rounding does not add up over frames
            difference = (walk.counts - whitened.reference.astype(jnp.int32)).astype(self.dtype)
            error = offset - jnp.dot(matrix, difference, precision=HIGHEST)
            walk = walk._replace(error=error, chi2=jnp.sum(error**2))
            random = draw(drawn)
            walk = jax.lax.fori_loop(
                0, moves, lambda i, w: self._move(w, _Moves(*(x[i] for x in random)), matrix, minimum, kind, cell), walk
            )
            counts = walk.counts.reshape(self._n_pairs, self.n_bins).astype(jnp.float32)
            return walk, jax.random.key_data(key), buffer.at[index].set(counts)

        counts = histogram(positions, self.r_max).astype(jnp.int32).ravel()
        zero = jnp.zeros((), self.dtype)
        x, y, z = split(positions)
        walk = _Walk(x, y, z, counts, jnp.zeros_like(offset), zero, jnp.zeros((), jnp.int32))
        buffer = jnp.zeros((self.frames_per_block, self._n_pairs, self.n_bins), jnp.float32)
        walk, key, buffer = jax.lax.fori_loop(0, count, frame, (walk, key, buffer))
        end = jnp.stack([walk.x, walk.y, walk.z], axis=1)
        # A pair on the edge of a bin may be rounded to either side of it by another loop: bounds of the counts are
        # those with all distances longer, and shorter, by a few units in the last place.
        slack = 16 * float(np.finfo(self.dtype).eps)
        reach = jnp.asarray([self.r_max * (1 - slack), self.r_max * (1 + slack)], self.dtype)
        bounds = jax.lax.map(lambda r_max: histogram(end, r_max), reach)
        return end, key, buffer, walk.accepted, walk.chi2, bounds

    def _move(
        self, walk: _Walk, move: _Moves, matrix: jax.Array, minimum: jax.Array, kind: jax.Array, cell: jax.Array
    ) -> _Walk:
        """One attempted move. Both ends of it are measured by the same loop, so that the same distance always falls
        into the same bin."""
        n, slots = self.system.n_atoms, self._n_pairs * self.n_bins
        old = tuple(c[move.atom] for c in (walk.x, walk.y, walk.z))
        new = tuple(a + b for a, b in zip(old, move.displacement, strict=True))
        dx, dy, dz = (
            jnp.stack([a, b])[:, None] - c for a, b, c in zip(old, new, (walk.x, walk.y, walk.z), strict=True)
        )
        dx, dy, dz = minimum_image(dx, dy, dz, cell, self.system.orthorhombic)
        r = jnp.sqrt(dx * dx + dy * dy + dz * dz)
        place = r * (self.n_bins / self.r_max)
        row = pair_row(kind[move.atom], kind, len(self.system.species))
        other = jnp.arange(n, dtype=jnp.int32) != move.atom
        slot = jnp.where(other & (place < self.n_bins), row * self.n_bins + place.astype(jnp.int32), slots)
        change = jnp.zeros(slots, jnp.int32).at[slot[0]].add(-1, mode="drop").at[slot[1]].add(1, mode="drop")
        too_close = jnp.any(other & (r[1] < minimum[row]) & (r[1] < r[0]))

        step = jnp.dot(matrix, change.astype(self.dtype), precision=HIGHEST)
        error = walk.error - step
        accept = ~too_close & (move.uniform < jnp.exp(-0.5 * chi2_change(walk.error, step)))
        x, y, z = (
            c.at[move.atom].set(jnp.where(accept, b, a))
            for a, b, c in zip(old, new, (walk.x, walk.y, walk.z), strict=True)
        )
        return _Walk(
            x,
            y,
            z,
            walk.counts + jnp.where(accept, change, 0),
            jnp.where(accept, error, walk.error),
            jnp.where(accept, jnp.sum(error**2), walk.chi2),
            walk.accepted + accept,
        )
