"""Which engine moves the atoms of a study, and whether it can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refine.errors import InputError
from refine.sampling.engines import DEFAULT_ENGINE, ENGINES, engine_kind
from refine.study.choices.choice import Choice
from refine.study.schema import StudyConfig
from refine.system import System

if TYPE_CHECKING:
    from refine.potentials.protocols import Base

KEY = "sampling.engine"


def chosen_engine(
    config: StudyConfig,
    kind: Base,
    base: Any,
    systems: Sequence[System],
    *,
    differentiated: bool = False,
    changed: Any = None,
) -> tuple[Choice, ...]:
    """The engine of a study that leaves it open; empty where it names one.

    kind, base: of `refine.study.samplers.read_base`.
    differentiated: whether the update rule differentiates through trajectories.
    changed: what stands for the base where its own parameters change (`BaseParameters.at`); None: they do not.
    """
    if config.sampling.engine != "auto":
        return ()
    if kind.own_engine is not None:
        return (Choice(KEY, kind.own_engine, "", f"base {config.model.base!r} is evaluated by it alone"),)
    for name in ENGINES:
        reason = engine_kind(name).advantage(kind, base)
        if reason is None:
            continue
        try:
            check_engine(config, name, kind, base, systems, differentiated=differentiated, changed=changed)
        except InputError:
            continue
        return (Choice(KEY, name, "", reason),)
    return (Choice(KEY, DEFAULT_ENGINE, "", "no other one is installed that would be faster for this study"),)


def check_engine(
    config: StudyConfig,
    name: str,
    kind: Base,
    base: Any,
    systems: Sequence[System],
    *,
    differentiated: bool = False,
    changed: Any = None,
) -> None:
    """InputError where an engine cannot sample a study; the arguments are those of `chosen_engine`."""
    where, engine = "[sampling] engine", engine_kind(name)
    if kind.own_engine not in (None, name) and not engine.elsewhere:
        raise InputError(
            f"base {config.model.base!r} is evaluated by engine {kind.own_engine!r} alone, and this is {name!r}",
            where=where,
            fix=f'set engine = "{kind.own_engine}"',
        )
    if differentiated and not engine.differentiates:
        able = [one for one in ENGINES if engine_kind(one).differentiates]
        raise InputError(
            f"method = {config.refinement.method!r} differentiates through the dynamics, and engine {name!r} cannot",
            where=where,
            fix="use another method" if kind.own_engine else f'set engine = "{able[0]}", or use another method',
        )
    sampling = config.sampling
    if sampling.engine == name and not engine.parallel and (sampling.processes, sampling.threads) != (0, 1):
        able = [one for one in ENGINES if engine_kind(one).parallel]
        raise InputError(
            f"engine {name!r} has no processes and threads",
            where="[sampling] processes" if sampling.processes else "[sampling] threads",
            fix=f'leave it out, or set engine = "{able[0]}"' if able else "leave it out",
        )
    if sampling.engine == name and sampling.devices and not engine.side_by_side:
        raise InputError(
            f"engine {name!r} moves one replica after the other", where="[sampling] devices", fix="leave it out"
        )
    if any(stage.pressure is not None for stage in config.schedule):
        check_pressure(config, name, "a stage of [[schedule]] has one")
    engine.check(kind, config.model, base, systems)
    engine.check_processes(sampling.processes)
    if changed is not None:
        engine.check_changed(changed)


def is_elsewhere(name: str) -> bool:
    """Whether others make the frames of an engine, at other times; "auto" takes none of these."""
    return name in ENGINES and engine_kind(name).elsewhere


def refuse_elsewhere(name: str) -> None:
    """InputError for such an engine: of commands that sample, before they write anything."""
    if is_elsewhere(name):
        raise InputError(
            f"engine {name!r} samples nothing: its frames are made elsewhere",
            where="[sampling] engine",
            fix=f'use refine step, or another engine for this command, as in engine = "{DEFAULT_ENGINE}"',
        )


def check_pressure(config: StudyConfig, name: str, why: str) -> None:
    """InputError where an engine holds no pressure as the study has it; why: it is asked to, in words."""
    if not engine_kind(name).holds_pressure(config.sampling.processes):
        raise InputError(
            f"engine {name!r} holds no pressure as a program of its own, and {why}",
            where="[sampling] processes",
            fix="leave it out",
        )


def side_by_side(config: StudyConfig, chosen: Sequence[Choice]) -> bool:
    """Whether replicas move together; chosen: of `chosen_engine`."""
    name = chosen[0].value if chosen else config.sampling.engine
    return engine_kind(name).side_by_side
