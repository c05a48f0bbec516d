"""Frames of others as an entry of the table of engines. Nothing slow is imported before something is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from refine.errors import InputError
from refine.sampling.engine import Dynamics, EngineKind, Positions
from refine.system import System

if TYPE_CHECKING:
    from refine.potentials.protocols import Base
    from refine.sampling.files.sampler import FilesField, FilesSampler


class Files(EngineKind):
    """Whoever brings the frames: `refine.tasks.step` says what is wanted, and reads what came back."""

    differentiates: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = True

    def check(self, kind: Base, model: Any, base: Any, systems: Sequence[System]) -> None:
        """Whatever evaluates it."""

    def check_changed(self, base: Any) -> None:
        """InputError for weights of a network: orders hold one model, that of the study."""
        if not hasattr(base, "terms"):
            raise InputError(
                "frames that are made elsewhere are of the model as it is, and its weights are to be changed",
                where="[sampling] engine",
                fix='set engine = "jax"',
            )

    def advantage(self, kind: Base, base: Any) -> None:
        """It is taken where it is asked for."""
        return None

    def field(self, kind: Base, model: Any, base: Any, cutoff: float, system: System, precision: str) -> FilesField:
        """See `EngineKind`."""
        from refine.sampling.files.sampler import FilesField

        return FilesField(kind, model, base, cutoff, system)

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
    ) -> FilesSampler:
        """See `EngineKind`."""
        from refine.sampling.files.sampler import FilesSampler
        from refine.sampling.lammps.script import fixes_of

        if field.molecules is not None:  # refused now, and not when the orders are written
            fixes_of(settings.thermostat, field.molecules.topology)
        return FilesSampler(system, settings, n_bins=n_bins, r_max=r_max, replicas=replicas, positions=positions)

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
    ) -> NoReturn:
        """InputError: nothing here moves atoms."""
        from refine.sampling.files.sampler import refused

        raise refused()

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
        """InputError: nothing here moves atoms."""
        from refine.sampling.files.sampler import refused

        raise refused()
