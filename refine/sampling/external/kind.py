"""What engines have in common, as entries of the table, whose programs are not ours. Nothing slow is imported before
something is built."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from refine.errors import InputError
from refine.sampling.engine import ConstantEnergy, Dynamics, Engine, EngineKind, Positions
from refine.system import System

if TYPE_CHECKING:
    from refine.sampling.external.mover import MoverOf
    from refine.sampling.external.sampler import ExternalSampler


class ExternalKind(EngineKind):
    """Base of such engines.

    name: in the table of engines.
    steps_per_block: between two looks at a trajectory; None: about a second of work of a fast program.
    """

    name: ClassVar[str]
    steps_per_block: ClassVar[int | None] = None
    differentiates: ClassVar[bool] = False

    def check_changed(self, base: Any) -> None:
        """InputError for weights of a network: such a program has a model of its own, made once."""
        if not hasattr(base, "terms"):
            raise InputError(
                f"engine {self.name!r} cannot change weights of the base",
                where="[sampling] engine",
                fix='set engine = "jax"',
            )

    @abstractmethod
    def mover_of(self, field: Any, settings: Dynamics) -> MoverOf:
        """A field as these settings want it to be run."""

    def sampler(
        self,
        system: System,
        field: Any,
        settings: Dynamics,
        *,
        n_bins: int,
        r_max: float,
        phase: str,
        replicas: int = 1,
        positions: bool = False,
    ) -> Engine[Any]:
        """See `EngineKind`."""
        return self._sampler(
            system,
            field,
            settings,
            settings.thermostat,
            stride=settings.stride,
            n_bins=n_bins,
            r_max=r_max,
            phase=phase,
            replicas=replicas,
            positions=positions,
        )

    def constant_energy(
        self,
        system: System,
        field: Any,
        settings: Dynamics,
        params: Any,
        positions: Positions,
        *,
        temperature: float,
        seed: int,
        interval: float,
        phase: str,
    ) -> ConstantEnergy:
        """See `EngineKind`."""
        from refine.sampling.external.mover import FREE
        from refine.sampling.external.segments import ExternalSegments
        from refine.sampling.segments import STRESS_EVERY

        sampler = self._sampler(
            system, field, settings, FREE, stride=STRESS_EVERY, n_bins=1, r_max=system.r_box, phase=phase
        )
        return ExternalSegments(sampler, params, positions, temperature, seed, interval)

    def adjoint(
        self,
        system: System,
        field: Any,
        settings: Dynamics,
        *,
        temperature: float,
        steps: int,
        n_bins: int,
        r_max: float,
        clip: float | None = None,
    ) -> NoReturn:
        """InputError: such a program knows forces, not how they depend on what came before."""
        raise InputError(
            f"engine {self.name!r} has no gradients through trajectories",
            where="[sampling] engine",
            fix='set engine = "jax", as in --set sampling.engine=\'"jax"\'',
        )

    def _sampler(
        self, system: System, field: Any, settings: Dynamics, thermostat: str, **keywords: Any
    ) -> ExternalSampler:
        from refine.sampling.external.mover import Motion
        from refine.sampling.external.sampler import ExternalSampler

        return ExternalSampler(
            self.name,
            system,
            self.mover_of(field, settings),
            Motion(thermostat, settings.time_constant, settings.timestep),
            precision=settings.precision,
            steps_per_block=self.steps_per_block,
            **keywords,
        )
