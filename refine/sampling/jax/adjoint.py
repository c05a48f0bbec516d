"""Gradients through the trajectory, in reverse mode: what a change of the potential does to a window of dynamics.

A window (`windows`) starts from a stored configuration, takes n steps of the same integrator that samples, and ends in
a smooth pair count O = Σ_{i<j} v_ab(r_ij). With v = dL/d<h> its derivative estimates dL/d theta. What that estimates,
and between which lengths a window is of use, is under "Backprop" in docs/theory/rules.md (R. Kubo, J. Phys. Soc. Jpn.
12, 570 (1957); L. Metz et al., arXiv:2111.05803, "Gradients are not all you need"); `Adjoint.growth` measures the
growth of the scatter.

Windows run in float64: on a CPU that costs nothing (0.95 ms a step with its derivative for 108 argon atoms, 0.96 ms in
float32), and rounding grows with exp(lambda t) like every difference: at constant energy the float32 derivative of a
single window is off by 3 % (median; the worst of 20 by 11 %) after 1 ps and by 5 % (20 %) after 2 ps. That averages out
like other scatter, but leaves no check by differences.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.species import number_of_pairs
from refine.errors import InputError, SimulationError
from refine.potentials.protocols import CorrectedForceField
from refine.sampling.jax.device import on_device, precision
from refine.sampling.jax.growth import Growth, fit_growth
from refine.sampling.jax.lists import ListPlan, longest_step
from refine.sampling.jax.programs import Programs
from refine.sampling.jax.thermostats import Langevin, Thermostat, VelocityVerlet
from refine.sampling.jax.windows import LinearParams, WindowProgram
from refine.sampling.state import MDState
from refine.system import System
from refine.units import BOLTZMANN, TIME_UNIT

Array = NDArray[np.float64]

DIFFERENCE = 0.01
"""eV. Parameters are linear in the coefficients, so their derivative is a difference, exact whatever the step; one of
the size of kT keeps the digits of the table."""

LIFETIME = 0.4
"""Share of the skin that the fastest atom may use up before the list is made anew; half of it is the limit."""

CPU_OPTIONS = {"xla_backend_optimization_level": 1}
"""LLVM's higher levels take 15 s instead of 8 s for the program of a window, which then runs as fast (two cores)."""

OUTRUN_GROWTH, OUTRUN_TRIES = 1.25, 3
"""When an atom was faster, the skin becomes so many times what would have held it; and how often this is tried."""


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
        mean: Array = self.gradients.mean(axis=0)
        return mean

    @property
    def stderr(self) -> Array:
        """(k,) of the mean, windows taken as independent."""
        deviation: Array = self.gradients.std(axis=0, ddof=1)
        return deviation / math.sqrt(len(self.gradients))


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

    Attributes:
        window: what is differentiated.
        skin, capacity: of its neighbour lists; they grow when an atom was faster, or a list overflowed.

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
        self.plan = ListPlan(system, force_field, skin)
        system.check_distance(r_max, "r_max of the pair counts")
        for name, value in (("timestep", timestep), ("n_bins", n_bins)):
            if not value > 0:
                raise InputError(f"{name} is {value}; it must be above zero")
        if dtype not in ("float32", "float64"):
            raise InputError(f"precision is {dtype!r}; it must be float32 or float64")
        self.system, self.force_field = system, force_field
        self.temperature, self.timestep, self.clip = temperature, timestep, clip
        self.dtype = np.dtype(dtype)
        step_length = longest_step(system, temperature, timestep)
        self.skin = self.plan.skin_for(step_length)
        self.capacity = self.plan.first_capacity(self.skin)
        blocks = math.ceil(math.sqrt(steps))
        per_block = math.ceil(steps / blocks)
        lasts = per_block if math.isinf(self.skin) else max(1, int(LIFETIME * self.skin / step_length))
        lists = math.ceil(per_block / lasts)
        self.window = WindowProgram(
            self.plan,
            self.dtype,
            timestep,
            TIME_UNIT / (1000 * thermostat.time_constant_ps) if isinstance(thermostat, Langevin) else None,
            blocks,
            lists,
            math.ceil(per_block / lists),
            n_bins,
            r_max,
        )
        self._programs = Programs(compiler_options=CPU_OPTIONS if jax.default_backend() == "cpu" else None)
        self._tangents: tuple[Any, tuple[Any, ...]] | None = None

    @property
    def block(self) -> int:
        """Steps in a block."""
        return self.window.lists * self.window.per_list

    @property
    def steps(self) -> int:
        """Steps in the longest window."""
        return self.window.blocks * self.block

    @property
    def compilations(self) -> int:
        """Programs compiled so far: one, and one more each time the neighbour list had to grow."""
        return self._programs.compilations

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
            starts: every replica of every state is the start of a window (`refine.sampling.starts.starts_along`).
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
        weights = np.zeros(self.window.blocks)
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
        blocks = np.unique(np.round(np.linspace(0, self.window.blocks, lengths + 1)[1:]).astype(int))
        if len(blocks) < 4:
            raise InputError(f"growth from {len(blocks)} lengths of window", fix="use longer windows and 4 or more")
        squares: list[Array] = []
        for count in blocks:
            done = len(squares)

            def report(n: int, done: int = done) -> None:
                if on_window is not None:
                    on_window(done * n + n)

            gradients, _ = self._all(starts, linear, cotangent, np.eye(self.window.blocks)[count - 1], report)
            squares.append(np.sum(gradients**2, axis=1))
        times = blocks * self.block * self.timestep / 1000.0
        return fit_growth(times, np.array(squares).T)

    def memory(self, start: MDState, linear: LinearParams, cotangent: Array) -> int:
        """Bytes of temporary memory of the compiled program of a window, as the compiler states them."""
        with precision(self.dtype):
            arguments = next(self._arguments([start], linear, cotangent, np.eye(self.window.blocks)[-1]))
            analysis: Any = self._program().lower(*arguments, self._reach()).compile().memory_analysis()
            return int(analysis.temp_size_in_bytes)

    def _blocks_in(self, steps: int | None) -> int:
        if steps is None:
            return self.window.blocks
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
        with precision(self.dtype):
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

    def _arguments(
        self, starts: Sequence[MDState], linear: LinearParams, cotangent: Array, weights: Array
    ) -> Iterator[tuple[Any, ...]]:
        """Device arguments of one window after the other."""
        shape = (number_of_pairs(len(self.system.species)), self.window.n_bins)
        if np.shape(cotangent) != shape:
            raise ValueError(f"the cotangent has shape {np.shape(cotangent)}; the pair counts have {shape}")
        fixed = on_device((linear, self.system.cell, BOLTZMANN * self.temperature, cotangent, weights), self.dtype)
        theta = jnp.zeros(linear.size, self.dtype)
        for state in starts:
            for replica in range(len(state.positions)):
                carried = (state.positions[replica], state.momenta[replica])
                thermostat = {name: value[replica] for name, value in state.thermostat.items()}
                yield theta, *on_device((*carried, thermostat), self.dtype), *fixed

    def _reach(self) -> jax.Array:
        return jnp.asarray(self.force_field.cutoff + self.skin, self.dtype)

    def _program(self) -> Any:
        """The compiled program of a window with the present lists."""
        return self._programs.get(
            "gradients of windows", self.plan.shape(self.capacity, self.skin), self.window.program
        )

    def _settled(self, arguments: tuple[Any, ...]) -> tuple[float, Array]:
        """Run one window until its lists were large enough and never outrun: value and gradient."""
        for _ in range(OUTRUN_TRIES):
            while True:
                (value, (worst, overflow)), gradient = jax.device_get(self._program()(*arguments, self._reach()))
                if not overflow:
                    break
                self.capacity = self.plan.larger(self.capacity, self.skin, "a window")
            if not math.sqrt(worst) > self.skin / 2:  # nor if it is not a number: the caller says so
                return float(value), gradient
            self.skin = OUTRUN_GROWTH * 2 * math.sqrt(worst)
            if self.force_field.periodic_images:
                self.skin = min(self.skin, self.system.r_box)
            self.capacity = max(self.capacity, self.plan.first_capacity(self.skin))
        raise SimulationError(
            f"an atom moved {math.sqrt(worst):.2f} Å in {self.window.per_list} steps",
            where="a window",
            fix=f"shorten sampling.timestep (now {self.timestep:g} fs)",
        )
