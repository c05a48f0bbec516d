"""The study file: TOML in, one validated `StudyConfig` out.

Unknown keys are refused, and everything that is wrong with a study file becomes one `refine.errors.InputError`.
"""

from refine.study.schema.compare import Compare, Coordination
from refine.study.schema.correction import Correction
from refine.study.schema.data import Data
from refine.study.schema.model import ModelFile
from refine.study.schema.reference import explore_markdown, learn_markdown, reference_markdown
from refine.study.schema.replay import Replay
from refine.study.schema.sampling import Sampling
from refine.study.schema.study import NO_CORRECTION, StudyConfig
from refine.study.schema.system import Stage, State, System

__all__ = [
    "NO_CORRECTION",
    "Compare",
    "Coordination",
    "Correction",
    "Data",
    "ModelFile",
    "Replay",
    "Sampling",
    "Stage",
    "State",
    "StudyConfig",
    "System",
    "explore_markdown",
    "learn_markdown",
    "reference_markdown",
]
