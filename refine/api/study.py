"""`refine.Study`: a study that can be run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from refine.api.result import Result
from refine.progress import Progress
from refine.study import study
from refine.tasks.run.loop import run_study


class Study(study.Study):
    """A study that can be run.

    For example:

        from refine import Study

        study = Study.from_toml("study.toml", ["refinement.iterations=3"])
        result = study.run("runs/argon")
        result.status, result.final.r_chi

    Reading a study checks it, and runs nothing:

    >>> import numpy as np
    >>> from refine.study.schema import StudyConfig
    >>> tree = {
    ...     "title": "argon",
    ...     "system": {"species": {"Ar": 108}, "number_density": 0.02125},
    ...     "states": [{"name": "85K", "temperature": 85.0}],
    ...     "data": [
    ...         {"name": "s", "role": "predict", "quantity": "S(Q)", "q_range": [0.5, 12.0]}
    ...         | {"radiation": "neutron", "state": "85K"}
    ...     ],
    ...     "model": {"base": "lennard-jones", "parameters": {"epsilon": 0.0103, "sigma": 3.4}},
    ...     "correction": {"r_min": 2.8, "r_cut": 8.0, "knots": 12},
    ... }
    >>> study = Study(StudyConfig.parse(tree))
    >>> study.pairs, len(study.initial_correction().theta), study.base_energies(np.array([3.4])).tolist()
    ((('Ar', 'Ar'),), 12, [[0.0]])
    """

    def run(
        self,
        out: str | Path | None = None,
        *,
        resume: bool | Literal["auto"] = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Result:
        """Refine, and leave result.json, curves, g(r), run.h5 and report.html in `out`.

        An interrupted run goes on bit for bit:

            study.run("runs/argon", resume=True)

        Args:
            out: output folder; default runs/<name of the study's folder> under the current one.
            resume: go on with the run in `out`, also with more `refinement.iterations`; "auto": where there is one, and
                else start it.
            overwrite: throw away the run in `out`.
            progress: told what happens.

        Raises:
            RefineError: what the user can mend; the last good checkpoint stays.
        """
        refined = run_study(self, out, resume=resume, overwrite=overwrite, progress=progress)
        return Result(refined.summary, refined.correction, refined.covariance, refined.out)
