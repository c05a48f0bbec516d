"""[sampling]: molecular dynamics."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from refine.sampling.engines import DEFAULT_ENGINE, ENGINES
from refine.tables.table import Table
from refine.tables.values import Integer, Kind, Number, OrAuto, OrWord, refusal

LATER_OF_SAMPLING = {"engine": DEFAULT_ENGINE, "processes": 0, "threads": 1}
"""Keys that studies of before do not have, and the values with which they change no digest."""


def _engine(name: str) -> str:
    if name not in (*ENGINES, "auto"):
        raise refusal(f"should be {', '.join(map(repr, ENGINES))} or 'auto'")
    return name


EngineName = Annotated[
    str, Strict(), AfterValidator(_engine), Kind(", ".join(f'`"{one}"`' for one in (*ENGINES, "auto")))
]


class Sampling(Table):
    """Molecular dynamics at constant temperature."""

    engine: EngineName = Field(
        DEFAULT_ENGINE,
        description='What moves the atoms, see [engines](../engines.md). `"auto"`: `lammps` for sums of pair functions '
        'without charges where it is installed and jax has a CPU only, else `jax`. `"files"`: frames are made '
        "elsewhere, for `refine step`.",
    )
    timestep: Annotated[Annotated[Number, Field(ge=0.001, le=20)] | Literal["auto"], OrAuto()] = Field(
        "auto",
        description='Time step in fs, usually 0.25 to 10. `"auto"`: from the fastest vibration that the forces in the '
        "first sample show, and from how far the lightest atoms fly in a step.",
    )
    thermostat: Literal["langevin", "nose-hoover"] = Field("langevin", description="Thermostat.")
    time_constant: Annotated[Number, Field(ge=0.001, le=1000)] = Field(
        0.5, description="Its time constant in ps, at least two time steps."
    )
    equilibration: Annotated[Annotated[Number, Field(ge=0, le=1_000_000)] | Literal["auto"], OrAuto()] = Field(
        "auto",
        description='Time in ps from the start structure to the first frame. `"auto"`: until energy, pressure and '
        "fitted curves no longer drift.",
    )
    reequilibration: Annotated[Annotated[Number, Field(ge=0, le=1_000_000)] | Literal["auto"], OrAuto()] = Field(
        "auto",
        description='Time in ps after each change of the potential. `"auto"`: a few correlation times of the first '
        "sample; a quarter of an `equilibration` that is given.",
    )
    frames: Annotated[Annotated[Integer, Field(ge=10, le=1_000_000)] | Literal["auto"], OrAuto()] = Field(
        "auto",
        description="Frames sampled in each iteration, from all replicas together; `gauss-newton` takes half as many "
        'while the misfit is more than three times the noise. `"auto"`: so many that sampling noise is below the '
        "errors of the measurement, within limits.",
    )
    stride: Annotated[Annotated[Integer, Field(ge=1, le=1_000_000)] | Literal["auto"], OrAuto()] = Field(
        "auto",
        description='Steps between frames. `"auto"`: about a correlation time of the fitted curves.',
    )
    final: Annotated[Number, Field(ge=1, le=100)] = Field(
        2.0, description="The sample behind the final numbers has this times `frames`."
    )
    replicas: Annotated[Annotated[Integer, Field(ge=1, le=1024)] | Literal["auto"], OrAuto()] = Field(
        "auto",
        description='Copies of the box run side by side. `"auto"`: one; of a small packed box whose base model is a '
        "sum of pair functions, so many that they are a large one together, under `jax`: other engines move them "
        "one after the other.",
    )
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = Field(1, description="Seed of every random number of the run.")
    keep: Annotated[Annotated[Integer, Field(ge=1, le=1_000_000)] | Literal["final"], OrWord("final")] = Field(
        "final",
        description="Configurations that a run keeps, for `refine frames`: the last one of each replica in every "
        "sample; with a number n also every n-th frame, as extended XYZ in the run's folder.",
    )
    precision: Literal["float32", "float64"] = Field("float32", description="Precision of the dynamics.")
    processes: Annotated[Integer, Field(ge=0, le=100_000)] = Field(
        0,
        description="Of `lammps`: 0 runs it inside of refine, a number starts it as a program with so many of MPI.",
    )
    threads: Annotated[Integer, Field(ge=1, le=1024)] = Field(
        1, description="Of each process of `lammps`, or of `lammps` inside of refine."
    )
    devices: Annotated[Integer, Field(ge=0, le=1024)] = Field(
        0,
        description="Over which `jax` spreads the `replicas`, and, where these leave some, the states: 0 takes all "
        "GPUs that it sees, and never splits processors; see [a GPU, a queue](../tutorials/cluster.md).",
    )
    bin_width: Annotated[Number, Field(ge=0.001, le=0.5)] = Field(
        0.02,
        description="Width in Å of the bins in which pair distances are counted; at most 2/Q_max of every curve.",
    )
