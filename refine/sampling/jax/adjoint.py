"""Gradients through the trajectory, in reverse mode: what a change of the potential does to a window of dynamics.

A window starts from a stored configuration with its momenta and the state of its thermostat, and takes n steps of the
same integrator that samples (BAOAB or velocity Verlet; the random numbers are fixed by the stored key). At its end a
smooth pair count is taken,

    O(R_n) = Σ_{i<j} v_ab(r_ij),      v linear between bin centres, zero from r_max on,

and its derivative by the parameters of the force field is the exact derivative of these n discrete steps. With
v = dL/d<h>, the derivative of a loss by the mean pair counts, it estimates dL/d theta.

What is estimated. The start is a configuration of the *unchanged* ensemble and the potential changes at t = 0, so the
mean over windows is a response function, not yet that of an average (R. Kubo, J. Phys. Soc. Jpn. 12, 570 (1957)):

    d<O(t)>/d theta = -beta [Cov(O, N) - Cov(O(t), N(0))],        N = dU/d theta

It grows from zero and reaches the fluctuation formula -beta Cov(O, N) when O(t) has forgotten N(0): the window must
outlast the relaxation time of the structure, and a shorter one is biased towards zero. But the derivative of a single
trajectory grows like exp(lambda t), lambda the largest Lyapunov exponent (about 1/ps in liquid argon, more in hot
melts), and so does the scatter over windows, while the mean converges (`Adjoint.growth` measures it; L. Metz et al.,
arXiv:2111.05803, "Gradients are not all you need"). Between the two a few hundred steps are useful; the fluctuation
formula has neither limit.

Memory. Reverse mode needs every state again. The steps lie in sqrt(n) blocks of sqrt(n) steps; only the states between
blocks are kept, a block is done again when its turn comes, and in it every step once more, so that of what a force
leaves behind for its derivative there is one step's at a time (A. Griewank and A. Walther, ACM Trans. Math. Softw. 26,
19 (2000); T. Chen et al., arXiv:1604.06174): 2 sqrt(n) states of 6 N numbers, for two extra passes of forces.

What is observed must be smooth on the scale of the atoms' motion: O's derivative is a sum of slopes of v, and where v
is a spike of a few bins, as for a point of an unbroadened g(r), its scatter grows with the inverse of their width.
Curves in Q, or in r as seen through a Q range, are smooth.

Neighbour lists are constants of the steps: they are made of stopped positions, and so is the wrapping. Windows run in
float64: on a CPU that costs nothing (0.95 ms a step with its derivative for 108 argon atoms, 0.96 ms in float32), and
rounding grows with exp(lambda t) like every difference: at constant energy the float32 derivative of a single window is
off by 3 % (median; the worst of 20 by 11 %) after 1 ps and by 5 % (20 %) after 2 ps. That averages out like other
scatter, but leaves no check by differences.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cell import minimum_image, split
from kernels.species import pair_row, species_of
from refine.errors import InputError, SimulationError
from refine.potentials.protocols import CorrectedForceField
from refine.sampling.jax import random_numbers
from refine.sampling.jax.sampler import Sampler, _call, _fastest, _Shape
from refine.sampling.jax.thermostats import Langevin, Thermostat, VelocityVerlet
from refine.sampling.state import MDState
from refine.units import BOLTZMANN, TIME_UNIT

if TYPE_CHECKING:
    from refine.system import System

Array = np.typing.NDArray[np.float64]

DIFFERENCE = 0.01
"""eV. Parameters are linear in the coefficients, so their derivative is a difference, exact whatever the step; one of
the size of kT keeps the digits of the table."""

LIFETIME = 0.4
"""Share of the skin that the fastest atom may use up before the list is made anew; half of it is the limit."""

CPU_OPTIONS = {"xla_backend_optimization_level": 1}
"""LLVM's higher levels take 15 s instead of 8 s for the program of a window, which then runs as fast (two cores)."""

OUTRUN_GROWTH, OUTRUN_TRIES = 1.25, 3
"""When an atom was faster, the skin becomes so many times what would have held it; and how often this is tried."""

TILE = 128
"""Atoms whose pairs with all others are counted at a time."""


class LinearParams(NamedTuple):
    """Parameters of a force field and how they change, point + Σ_k theta_k tangents_k.

    tangents: for every leaf of `point` in the order of jax.tree.leaves (k, ...), None where it does not change.
    """

    point: Any
    tangents: tuple[Any, ...]

    @classmethod
    def build(cls, point: Any, moved: Sequence[Any], step: float | Sequence[float]) -> LinearParams:
        """From params at a point and with each of k parameters moved by its step."""
        steps = np.broadcast_to(np.asarray(step, float), len(moved))
        leaves = [jax.tree.leaves(one) for one in moved]
        tangents: list[Any] = []
        for at, leaf in enumerate(jax.tree.leaves(point)):
            ends = [one[at] for one in leaves]
            if all(end is leaf for end in ends):  # weights of a model: not even compared
                tangents.append(None)
                continue
            start = np.asarray(leaf, np.float64)
            change = np.stack([(np.asarray(end, np.float64) - start) / h for end, h in zip(ends, steps, strict=True)])
            tangents.append(change if change.any() else None)
        if all(tangent is None for tangent in tangents):
            raise ValueError("no parameter of the force field changes with what it is differentiated by")
        return cls(point, tuple(tangents))

    @property
    def size(self) -> int:
        """k."""
        return len(next(tangent for tangent in self.tangents if tangent is not None))


class _Phase(NamedTuple):
    """Positions and momenta (N, 3) at the end of a step of BAOAB but for its last half kick."""

    positions: jax.Array
    momenta: jax.Array


class _Drive(NamedTuple):
    """What is given to a step: its kick in units of the timestep, and its random key or numbers (None: no noise)."""

    kick: jax.Array
    key: jax.Array | None


@dataclass(frozen=True)
class Windows:
    """Derivatives of O along windows, one after the other.

    Attributes:
        gradients: (windows, k), after clipping; per eV where the parameters are coefficients of a correction.
        norms: (windows,) of the gradients before it.
        values: (windows,) O itself.
        clipped: how many windows were shortened.
        steps: of each.
        seconds: wall time, compilation included.
    """

    gradients: Array
    norms: Array
    values: Array
    clipped: int
    steps: int
    seconds: float

    @property
    def mean(self) -> Array:
        """(k,)."""
        return self.gradients.mean(axis=0)

    @property
    def stderr(self) -> Array:
        """(k,) of the mean, windows taken as independent."""
        return self.gradients.std(axis=0, ddof=1) / math.sqrt(len(self.gradients))


@dataclass(frozen=True)
class Growth:
    """How the derivative of single windows grows with their length.

    Attributes:
        times: (n,) lengths, ps.
        norms: (n,) rms over windows of the norm of the derivative.
        exponent: lambda of norms ~ exp(lambda t), 1/ps, least squares on ln(norms) over the later half of the lengths;
            the variance grows with twice that.
        stderr: of it, jackknife over windows.
    """

    times: Array
    norms: Array
    exponent: float
    stderr: float


class Adjoint:
    """Gradients of windows of one state point.

    Args:
        system: atoms and cell.
        force_field: any that follows `refine.potentials.protocols.CorrectedForceField`, made for `dtype`. Its forces
            must allow reverse mode by positions and by those of its params that change: pair tables do, and so does
            MACE, with its fast kernels as with the plain formulas (second derivatives of its energy; checked by
            differences).
        thermostat: `Langevin` or `VelocityVerlet`.
        temperature: K.
        timestep: fs.
        steps: of the longest window; rounded up to whole blocks (`steps` is the number taken).
        n_bins, r_max: bins of the pair counts that the cotangent belongs to, Å.
        clip: gradients longer than this many times the median norm of the windows of one call are shortened to it;
            None: none is. Clipping takes the rare large terms that the mean needs: it biases.
        skin: Å of the neighbour list; None: chosen.
        dtype: "float64", see the module; "float32" is there for comparison.

    Raises InputError where a number is out of range or a length does not fit into the box.
    """

    def __init__(
        self,
        system: System,
        force_field: CorrectedForceField,
        *,
        thermostat: Thermostat,
        temperature: float,
        timestep: float,
        steps: int,
        n_bins: int,
        r_max: float,
        clip: float | None = None,
        skin: float | None = None,
        dtype: str = "float64",
    ) -> None:
        if steps < 1:
            raise InputError(f"a window of {steps} steps", fix="use 1 or more")
        if not temperature > 0:
            raise InputError(f"temperature is {temperature} K; it must be above zero")
        if clip is not None and not clip > 0:
            raise InputError(f"clip is {clip}; it must be above zero", fix="leave it out for no clipping")
        made_for = getattr(force_field, "precision", dtype)
        if made_for != dtype:
            raise ValueError(f"the force field was made for {made_for}, the windows run in {dtype}")
        if not isinstance(thermostat, Langevin | VelocityVerlet):
            raise InputError(
                "gradients through the trajectory are for Langevin dynamics and for constant energy",
                where="sampling.thermostat",
                fix='use "langevin"',
            )
        self._gamma = TIME_UNIT / (1000 * thermostat.time_constant_ps) if isinstance(thermostat, Langevin) else None
        # plans the neighbour lists and checks the rest
        self._plan = Sampler(
            system,
            force_field,
            thermostat=thermostat,
            timestep=timestep,
            stride=1,
            n_bins=n_bins,
            r_max=r_max,
            skin=skin,
            dtype=dtype,
            phase="solid",
        )
        self.system, self.force_field = system, force_field
        self.temperature, self.timestep, self.clip = temperature, timestep, clip
        self.n_bins, self.r_max, self.dtype = n_bins, r_max, np.dtype(dtype)
        step_length = _fastest(temperature, system, 1) * timestep / TIME_UNIT
        self._skin = self._plan._choose_skin(step_length)
        self._capacity = self._plan._first_capacity(self._skin)
        self._blocks = math.ceil(math.sqrt(steps))
        per_block = math.ceil(steps / self._blocks)
        lasts = per_block if math.isinf(self._skin) else max(1, int(LIFETIME * self._skin / step_length))
        self._lists = math.ceil(per_block / lasts)
        self._per_list = math.ceil(per_block / self._lists)
        self._programs: dict[_Shape, Callable[..., Any]] = {}
        self._compiler_options = CPU_OPTIONS if jax.default_backend() == "cpu" else None
        self._compilations = 0
        self._tangents: tuple[Any, tuple[Any, ...]] | None = None

    @property
    def block(self) -> int:
        """Steps in a block."""
        return self._lists * self._per_list

    @property
    def steps(self) -> int:
        """Steps in the longest window."""
        return self._blocks * self.block

    @property
    def compilations(self) -> int:
        """Programs compiled so far: one, and one more each time the neighbour list had to grow."""
        return self._compilations

    # ---- what is differentiated

    def linear(self, correction: Any) -> LinearParams:
        """The force field's params and their derivative by the coefficients of a `PairCorrection` at the temperature.

        Tables are linear in them, so this is made once for each `core` and `wall`, by differences.
        """
        now = correction.at(self.temperature)
        point = self.force_field.params(now)
        key = (now.active, now.basis, now.core.tobytes(), now.wall.tobytes(), now.stiffness)
        if self._tangents is None or self._tangents[0] != key:
            theta = now.theta
            steps = DIFFERENCE * np.eye(len(theta))
            moved = [self.force_field.params(now.with_theta(theta + step)) for step in steps]
            self._tangents = (key, LinearParams.build(point, moved, DIFFERENCE).tangents)
        return LinearParams(point, self._tangents[1])

    def gradients(
        self,
        starts: Sequence[MDState],
        correction: Any,
        cotangent: Array,
        *,
        steps: int | None = None,
        last: int = 1,
        on_window: Callable[[int], None] | None = None,
    ) -> Windows:
        """Derivatives by theta of a correction, (windows, len(theta)), its temperature factors included.

        Args:
            starts: every replica of every state is the start of a window (`starts_along`).
            correction: of the potential that the starts were sampled with.
            cotangent: v, (pairs, bins), in units of the loss per pair.
            steps: of these windows, rounded up to whole blocks; default: all.
            last: O is averaged over the ends of so many last blocks. More scatter less and are biased more: they are
                shorter.
            on_window: called with the number of windows done.
        """
        windows = self.gradients_of(
            starts, self.linear(correction), cotangent, steps=steps, last=last, on_window=on_window
        )
        factors = correction.factors(self.temperature)
        whole = np.concatenate([factor * windows.gradients for factor in factors], axis=1)
        norms = windows.norms * float(np.linalg.norm(factors))
        return Windows(whole, norms, windows.values, windows.clipped, windows.steps, windows.seconds)

    def gradients_of(
        self,
        starts: Sequence[MDState],
        linear: LinearParams,
        cotangent: Array,
        *,
        steps: int | None = None,
        last: int = 1,
        on_window: Callable[[int], None] | None = None,
    ) -> Windows:
        """Derivatives by any k parameters of the force field: as `gradients`."""
        blocks = self._blocks_in(steps)
        if not 1 <= last <= blocks:
            raise InputError(f"O is averaged over {last} of {blocks} blocks", fix=f"use 1 to {blocks}")
        weights = np.zeros(self._blocks)
        weights[blocks - last : blocks] = 1.0 / last
        began = time.monotonic()
        gradients, values = self._all(starts, linear, cotangent, weights, on_window)
        norms = np.linalg.norm(gradients, axis=1)
        clipped = 0
        if self.clip is not None:
            limit = self.clip * float(np.median(norms))
            clipped = int(np.sum(norms > limit))
            gradients = gradients * np.minimum(1.0, limit / np.maximum(norms, np.finfo(float).tiny))[:, None]
        return Windows(gradients, norms, values, clipped, blocks * self.block, time.monotonic() - began)

    def growth(
        self,
        starts: Sequence[MDState],
        linear: LinearParams,
        cotangent: Array,
        *,
        lengths: int = 6,
        on_window: Callable[[int], None] | None = None,
    ) -> Growth:
        """The norm of the derivative for windows of `lengths` different lengths up to the longest, none clipped.

        A window of each length costs its own passes: all together about lengths/2 times `gradients`.
        """
        blocks = np.unique(np.round(np.linspace(0, self._blocks, lengths + 1)[1:]).astype(int))
        if len(blocks) < 4:
            raise InputError(f"growth from {len(blocks)} lengths of window", fix="use longer windows and 4 or more")
        squares: list[Array] = []
        for count in blocks:
            done = len(squares)

            def report(n: int, done: int = done) -> None:
                if on_window is not None:
                    on_window(done * n + n)

            gradients, _ = self._all(starts, linear, cotangent, np.eye(self._blocks)[count - 1], report)
            squares.append(np.sum(gradients**2, axis=1))
        times = blocks * self.block * self.timestep / 1000.0
        return fit_growth(times, np.array(squares).T)

    def memory(self, start: MDState, linear: LinearParams, cotangent: Array) -> int:
        """Bytes of temporary memory of the compiled program of a window, as the compiler states them."""
        with self._plan._precision():
            arguments = next(self._arguments([start], linear, cotangent, np.eye(self._blocks)[-1]))
            shape = self._plan._shape(self._capacity, self._skin)
            program = jax.jit(self._window(shape), compiler_options=self._compiler_options)
            analysis: Any = program.lower(*arguments, self._reach()).compile().memory_analysis()
            return int(analysis.temp_size_in_bytes)

    def _blocks_in(self, steps: int | None) -> int:
        if steps is None:
            return self._blocks
        if not 1 <= steps <= self.steps:
            raise InputError(f"a window of {steps} steps; these hold {self.steps} at the most")
        return math.ceil(steps / self.block)

    # ---- running

    def _all(
        self,
        starts: Sequence[MDState],
        linear: LinearParams,
        cotangent: Array,
        weights: Array,
        on_window: Callable[[int], None] | None,
    ) -> tuple[Array, Array]:
        """Gradients (windows, k) and values (windows,), windows one after the other: memory is that of one."""
        gradients: list[Array] = []
        values: list[float] = []
        with self._plan._precision():
            for arguments in self._arguments(starts, linear, cotangent, weights):
                value, gradient = self._settled(arguments)
                if not (np.isfinite(value) and np.isfinite(gradient).all()):
                    raise SimulationError(
                        "the derivative is no longer a finite number",
                        where=f"window {len(values)} of {int(np.flatnonzero(weights)[-1] + 1) * self.block} steps",
                        fix="shorten the windows, or sampling.timestep",
                    )
                gradients.append(gradient)
                values.append(value)
                if on_window is not None:
                    on_window(len(values))
        return np.array(gradients, float), np.array(values, float)

    def _arguments(self, starts: Sequence[MDState], linear: LinearParams, cotangent: Array, weights: Array) -> Any:
        """Device arguments of one window after the other."""
        shape = (len(self.system.species) * (len(self.system.species) + 1) // 2, self.n_bins)
        if np.shape(cotangent) != shape:
            raise ValueError(f"the cotangent has shape {np.shape(cotangent)}; the pair counts have {shape}")
        fixed = self._plan._as_device(
            (linear, np.asarray(self.system.cell), BOLTZMANN * self.temperature, cotangent, weights)
        )
        theta = jnp.zeros(linear.size, self.dtype)
        for state in starts:
            for replica in range(len(state.positions)):
                carried = (state.positions[replica], state.momenta[replica])
                thermostat = {name: value[replica] for name, value in state.thermostat.items()}
                yield theta, *self._plan._as_device((*carried, thermostat)), *fixed

    def _reach(self) -> jax.Array:
        return jnp.asarray(self.force_field.cutoff + self._skin, self.dtype)

    def _settled(self, arguments: tuple[Any, ...]) -> tuple[float, Array]:
        """Run one window until its lists were large enough and never outrun: value and gradient."""
        for _ in range(OUTRUN_TRIES):
            while True:
                shape = self._plan._shape(self._capacity, self._skin)
                if shape not in self._programs:
                    self._programs[shape] = jax.jit(self._window(shape), compiler_options=self._compiler_options)
                (value, (worst, overflow)), gradient = _call(self._programs[shape], *arguments, self._reach())
                if not overflow:
                    break
                self._capacity = self._plan._larger(self._capacity, self._skin, "a window")
            if not math.sqrt(worst) > self._skin / 2:  # nor if it is not a number: the caller says so
                return float(value), gradient
            self._skin = OUTRUN_GROWTH * 2 * math.sqrt(worst)
            if self.force_field.periodic_images:
                self._skin = min(self._skin, self.system.r_box)
            self._capacity = max(self._capacity, self._plan._first_capacity(self._skin))
        raise SimulationError(
            f"an atom moved {math.sqrt(worst):.2f} Å in {self._per_list} steps",
            where="a window",
            fix=f"shorten sampling.timestep (now {self.timestep:g} fs)",
        )

    # ---- the compiled program

    def _window(self, shape: _Shape) -> Callable[..., Any]:
        """(theta, ...) -> ((O, (largest squared displacement under one list, overflow)), dO/d theta)."""
        masses = jnp.asarray(self.system.masses, self.dtype)[:, None]
        timestep = self.timestep / TIME_UNIT
        decay = 1.0 if self._gamma is None else math.exp(-self._gamma * timestep)

        def observed(
            theta: jax.Array,
            positions: jax.Array,
            momenta: jax.Array,
            variables: dict[str, jax.Array],
            linear: LinearParams,
            cell: jax.Array,
            kT: jax.Array,
            cotangent: jax.Array,
            weights: jax.Array,
            reach: jax.Array,
        ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            self._compilations += 1  # Python runs while tracing only
            leaves, tree = jax.tree.flatten(linear.point)
            changed = (
                leaf if tangent is None else leaf + jnp.tensordot(theta, tangent, 1)
                for leaf, tangent in zip(leaves, linear.tangents, strict=True)
            )
            params = jax.tree.unflatten(tree, list(changed))
            lists, _ = self._plan._stepper(shape, cell, reach, reach, lambda state, _: state)
            spread = jnp.sqrt(masses * kT * (1 - decay**2))

            def under_one_list(state: _Phase, of_step: _Drive) -> tuple[_Phase, tuple[jax.Array, jax.Array]]:
                at_start = jax.lax.stop_gradient(state.positions)
                neighbors = jax.tree.map(lambda leaf: leaf[0], lists(at_start[None]))
                # drawn before the steps: inside one XLA would draw them again for every pair that needs a position
                noise = None if of_step.key is None else jax.vmap(self._normal)(of_step.key)

                @partial(jax.checkpoint, prevent_cse=False)
                def one(state: _Phase, of_step: _Drive) -> tuple[_Phase, jax.Array]:
                    r, p = state
                    p = p + of_step.kick * timestep * self.force_field.forces(params, r, neighbors, cell)
                    r = r + timestep / 2 * p / masses
                    if of_step.key is not None:
                        p = decay * p + spread * of_step.key
                    r = r + timestep / 2 * p / masses
                    moved = jax.lax.stop_gradient(r) - at_start
                    return _Phase(r, p), jnp.max(jnp.sum(moved**2, axis=1))

                state, moved = jax.lax.scan(one, state, _Drive(of_step.kick, noise), length=self._per_list)
                return state, (jnp.max(moved), neighbors.overflow)

            def advanced(state: _Phase, of_step: _Drive) -> tuple[_Phase, jax.Array, jax.Array]:
                state, (moved, overflow) = jax.lax.scan(under_one_list, state, of_step, length=self._lists)
                return state, jnp.max(moved), jnp.any(overflow)

            def resting(state: _Phase, _: _Drive) -> tuple[_Phase, jax.Array, jax.Array]:
                return state, jnp.zeros((), self.dtype), jnp.asarray(False)

            active = jnp.max(jnp.where(weights > 0, jnp.arange(self._blocks), -1))

            @partial(jax.checkpoint, prevent_cse=False)
            def block(state: _Phase, at: tuple[jax.Array, jax.Array, _Drive]) -> tuple[_Phase, tuple[jax.Array, ...]]:
                index, weight, of_step = at
                # blocks after the window's end are neither done nor differentiated
                state, moved, overflow = jax.lax.cond(index <= active, advanced, resting, state, of_step)
                count = jax.lax.cond(
                    weight > 0,
                    lambda r: weight * self._count(r, cell, cotangent),
                    lambda r: jnp.zeros((), self.dtype),
                    state.positions,
                )
                return state, (count, moved, overflow)

            state, drive = _Phase(positions, momenta), self._drive(variables)
            _, (counts, moved, overflow) = jax.lax.scan(block, state, (jnp.arange(self._blocks), weights, drive))
            return jnp.sum(counts), (jnp.max(moved), jnp.any(overflow))

        return jax.value_and_grad(observed, has_aux=True)

    def _drive(self, variables: dict[str, jax.Array]) -> _Drive:
        """Of all steps, (blocks, lists, steps of a list, ...): the keys as `integrators.langevin` splits them."""
        shape = (self._blocks, self._lists, self._per_list)
        # the half kicks that end a step and begin the next are at the same positions: one force, and none at the end
        kick = jnp.ones(math.prod(shape), self.dtype).at[0].set(0.5).reshape(shape)
        if self._gamma is None:
            return _Drive(kick, None)

        def split_off(key: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            left, drawn = jax.random.split(random_numbers.wrap(key))
            return jax.random.key_data(left), jax.random.key_data(drawn)

        _, keys = jax.lax.scan(split_off, variables["key"], None, length=math.prod(shape))
        return _Drive(kick, keys.reshape(*shape, 2))

    def _normal(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(random_numbers.wrap(key), (self.system.n_atoms, 3), self.dtype)

    def _count(self, positions: jax.Array, cell: jax.Array, cotangent: jax.Array) -> jax.Array:
        """Σ_{i<j} v_ab(r_ij), v linear between bin centres, constant below the first, falling to zero at r_max."""
        n, species = self.system.n_atoms, len(self.system.n_per_species)
        slope = jnp.concatenate([cotangent[:, 1:] - cotangent[:, :-1], -2 * cotangent[:, -1:]], axis=1)
        tiles = math.ceil(n / TILE)
        atoms = jnp.minimum(jnp.arange(tiles * TILE, dtype=jnp.int32), n - 1).reshape(tiles, TILE)
        everyone = jnp.arange(n, dtype=jnp.int32)
        kinds = species_of(everyone, self.system.n_per_species)
        components = split(positions)

        @jax.checkpoint
        def add(total: jax.Array, tile: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            here, real = tile
            dx, dy, dz = (x[here][:, None] - x[None] for x in components)
            dx, dy, dz = minimum_image(dx, dy, dz, cell, self.system.orthorhombic)
            pairs = real[:, None] & (here[:, None] < everyone[None])
            r2 = jnp.where(pairs, dx * dx + dy * dy + dz * dz, 1.0)  # no root of zero on the diagonal
            place = jnp.sqrt(r2) * (self.n_bins / self.r_max) - 0.5
            place = jnp.clip(place, 0.0, self.n_bins - 0.5)
            bin_ = jnp.minimum(place.astype(jnp.int32), self.n_bins - 1)
            index = pair_row(kinds[here][:, None], kinds[None], species) * self.n_bins + bin_
            v = cotangent.ravel()[index] + (place - bin_) * slope.ravel()[index]
            return total + jnp.sum(jnp.where(pairs, v, 0.0)), None

        real = (jnp.arange(tiles * TILE) < n).reshape(tiles, TILE)
        return jax.lax.scan(add, jnp.zeros((), positions.dtype), (atoms, real))[0]


def starts_along(
    sampler: Sampler, state: MDState, params: Any, temperature: float, windows: int, frames: int
) -> tuple[list[MDState], MDState]:
    """States for `windows` windows (every replica starts one), `frames` of the sampler apart, and the last state.

    Windows that start closer together than they are long share a part of their trajectory; their gradients are then
    not independent, although the growth of small differences soon makes them so.
    """
    starts: list[MDState] = []
    while len(starts) * sampler.replicas < windows:
        state, _ = sampler.run(state, params, temperature, frames, observe=False)
        starts.append(state)
    return starts, state


def fit_growth(times: Array, squares: Array) -> Growth:
    """`Growth` from squared norms (windows, n) at lengths `times` (n,) ps."""
    late = slice(len(times) // 2, None)

    def slope(mean_squares: Array) -> float:
        return float(np.polyfit(times[late], 0.5 * np.log(mean_squares[late]), 1)[0])

    exponent = slope(squares.mean(axis=0))
    n = len(squares)
    if n < 2:
        return Growth(times, np.sqrt(squares.mean(axis=0)), exponent, math.inf)
    left_out = np.array([slope(np.delete(squares, w, axis=0).mean(axis=0)) for w in range(n)])
    stderr = math.sqrt((n - 1) / n * float(np.sum((left_out - left_out.mean()) ** 2)))
    return Growth(times, np.sqrt(squares.mean(axis=0)), exponent, stderr)
