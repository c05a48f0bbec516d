"""Refines interatomic potentials against measured x-ray and neutron total scattering.

`Study` runs a study file, and `open` takes up a finished run; what both give is a `Result`. `Campaign` is many runs
from one study. `compare` sets models side by side. `Curve`, `read_curve` and `convert` are for measured curves;
`Calculator` is a base model for ASE, `read_calculator` the refined potential of a run, `awaited_calculator` that of a
run that waits for frames of it. Each is loaded when it is first used, so that ``import refine`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refine.api.campaign import Campaign
    from refine.api.result import Result, open
    from refine.api.study import Study
    from refine.curves.convert import convert
    from refine.curves.curve import Curve
    from refine.curves.readers import read_curve
    from refine.export.calculator import read_calculator
    from refine.potentials.calculator import Calculator
    from refine.tasks.compare import compare
    from refine.tasks.step.calculator import awaited_calculator

__version__ = "0.1.0"
__all__ = [
    "Calculator",
    "Campaign",
    "Curve",
    "Result",
    "Study",
    "__version__",
    "awaited_calculator",
    "compare",
    "convert",
    "open",
    "read_calculator",
    "read_curve",
]

_HOMES = {
    "Calculator": "refine.potentials.calculator",
    "Campaign": "refine.api.campaign",
    "Curve": "refine.curves.curve",
    "Result": "refine.api.result",
    "Study": "refine.api.study",
    "awaited_calculator": "refine.tasks.step.calculator",
    "compare": "refine.tasks.compare",
    "convert": "refine.curves.convert",
    "open": "refine.api.result",
    "read_calculator": "refine.export.calculator",
    "read_curve": "refine.curves.readers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'refine' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
