"""`refine.Study`: a study that can be run."""

from __future__ import annotations

from pathlib import Path

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
    """

    def run(
        self,
        out: str | Path | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Result:
        """Refine, and leave result.json, curves, g(r), run.h5 and report.html in `out`.

        An interrupted run goes on bit for bit:

            study.run("runs/argon", resume=True)

        Args:
            out: output folder; default runs/<name of the study's folder> under the current one.
            resume: go on with the run in `out`.
            overwrite: throw away the run in `out`.
            progress: told what happens.

        Raises:
            RefineError: what the user can mend; the last good checkpoint stays.
        """
        refined = run_study(self, out, resume=resume, overwrite=overwrite, progress=progress)
        return Result(refined.summary, refined.correction, refined.covariance, refined.out)
