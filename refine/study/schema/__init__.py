"""The study file: TOML in, one validated `StudyConfig` out.

Unknown keys are refused, and everything that is wrong with a study file becomes one `refine.errors.InputError`.
"""

from refine.study.schema.models import Correction, Data, Model, Refinement, Sampling, Stage, State, StudyConfig, System
from refine.study.schema.reference import reference_markdown

__all__ = [
    "Correction",
    "Data",
    "Model",
    "Refinement",
    "Sampling",
    "Stage",
    "State",
    "StudyConfig",
    "System",
    "reference_markdown",
]
