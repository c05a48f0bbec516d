"""`refine.Campaign`: many studies from one, as a script or a notebook sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from refine.api.result import Result, open
from refine.campaign.executors import LOCAL, Executor, executor_named
from refine.campaign.keys import CampaignConfig
from refine.campaign.points import Point, points_of
from refine.campaign.rows import rows_of, table_of
from refine.campaign.standing import Standing, read_standing, standing_now
from refine.campaign.steps import point_folder
from refine.errors import InputError
from refine.progress import Progress
from refine.tasks import campaign as task


class Campaign:
    """A grid of runs from one study; what `refine campaign` does, and what it left.

    For example:

        from refine import Campaign

        campaign = Campaign.of(
            study="study.toml",
            grid={"states.85K.temperature": [85.0, 95.0], "sampling.seed": [1, 2]},
            out="runs/argon_campaign",
        )
        print(campaign.run(resume=True).words())
        for point, result in campaign:
            print(point.values["states.85K.temperature"], result.final.r_chi)

    Attributes:
        config: what the campaign file says.
        out: folder of the campaign.

    Reading a campaign checks its file, and starts nothing:

    >>> campaign = Campaign.of(study="study.toml", grid={"sampling.seed": [1, 2]})
    >>> [point.name for point in campaign.points], campaign.out.as_posix()
    (['seed-1', 'seed-2'], 'runs/campaign')
    """

    def __init__(self, config: CampaignConfig, out: str | Path | None = None) -> None:
        self.config, self.out = config, config.default_out() if out is None else Path(out)

    @classmethod
    def from_toml(cls, path: str | Path, changes: Iterable[str] = (), *, out: str | Path | None = None) -> Self:
        """A campaign from its file.

        Args:
            path: the TOML file.
            changes: as `--set` takes them, `"run.workers=3"`.
            out: folder for the results, or that has them; default runs/<name of the file> under the current one.

        Raises:
            InputError: the file cannot be read, is not TOML, or is not valid.
        """
        return cls(CampaignConfig.from_toml(path, changes), out)

    @classmethod
    def of(cls, *, folder: str | Path = ".", out: str | Path | None = None, **tables: Any) -> Self:
        """A campaign from the keys and tables of its file.

        Args:
            folder: what paths in the tables are relative to.
            out: folder for the results, or that has them; default runs/campaign under the current one.
            tables: `study`, `grid`, `zip`, `select`, `run`, `title` and the others, in the file's shape.

        Raises:
            InputError: they are not valid.
        """
        return cls(CampaignConfig.parse(tables, folder), out)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """All points that are wanted, each with a name and its values, the last key of the grid fastest.

        Raises:
            InputError: there are too many, or none.
        """
        return points_of(self.config)

    def run(
        self,
        executor: str | Path | Executor = LOCAL,
        *,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Standing:
        """Carry the campaign out, and leave campaign.json, the table and campaign.html in `out`.

        Points that fail raise nothing: they are in what comes back, as `failures()`.

        Args:
            executor: "local", the path of a site file, or an object that follows `Executor`.
            resume: go on with the campaign in `out` where there is one, else start.
            progress: told what happens.

        Raises:
            RefineError: what the user can mend before anything is started.
            KeyboardInterrupt: it was interrupted; `resume=True` goes on.
        """
        name = str(executor) if isinstance(executor, str | Path) else type(executor).__name__

        def make() -> Executor:
            if isinstance(executor, str | Path):
                return executor_named(name, self.config.run, self.out)
            return executor

        return task.campaign(self.config, self.out, make, executor=name, resume=resume, progress=progress)

    def status(self) -> Standing:
        """Where it stands: `counts()`, `words()`, `failures()`, and each point with its tasks; also while it runs.

        Raises:
            InputError: it was not started, or campaign.json is damaged.
        """
        return standing_now(self.out)[0]

    @property
    def table(self) -> list[dict[str, str | float | None]]:
        """A row for each point, by column, of what is done until now, as in table.csv; None: a point has no such cell.

        Raises:
            InputError: it was not started, or campaign.json is damaged.
        """
        header, cells = table_of(rows_of(read_standing(self.out), self.out))
        return [dict(zip(header, row, strict=True)) for row in cells]

    def __iter__(self) -> Iterator[tuple[Point, Result]]:
        """Each point whose run is done, with its `Result`, read when its turn comes.

        Raises:
            InputError: it was not started, its task is not "run", or a result is damaged.
        """
        standing = read_standing(self.out)
        if "run" not in standing.tasks:
            raise InputError(
                f"its task is {', '.join(standing.tasks)}, which leaves no runs", where=str(self.out), fix="see table"
            )
        for point in standing.points:
            if any(step.task == "run" and step.ending == "done" for step in point.steps):
                yield Point(point.name, point.values), open(point_folder(self.out, point.name) / "run")
