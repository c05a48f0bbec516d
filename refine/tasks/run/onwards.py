"""How a run goes on, in the words of its engine: whoever tells a user says it with these."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


def go_on(elsewhere: bool, changes: Sequence[str] = (), *, study: str | Path = "STUDY", out: str | Path = "OUT") -> str:
    """The command line.

    elsewhere: whether others make the frames (`EngineKind.elsewhere`): then a run goes on step by step, and its folder
        has the study.  changes: of the study, as --set takes them.  study, out: its file, and the folder of the run.

    >>> go_on(False), go_on(True, ["refinement.iterations=16"])
    ('refine run STUDY --out OUT --resume', 'refine step OUT --set refinement.iterations=16')
    """
    words = ["refine", "step", str(out)] if elsewhere else ["refine", "run", str(study), "--out", str(out), "--resume"]
    return shlex.join([*words, *(word for change in changes for word in ("--set", change))])
