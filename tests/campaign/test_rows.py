"""What is read of the files that tasks leave."""

from __future__ import annotations

from pathlib import Path

from refine.campaign.rows import rows_of
from refine.campaign.standing import PointStanding, Standing, StepStanding


def test_a_header_with_no_number_is_a_row_that_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "points" / "a"
    folder.mkdir(parents=True)
    (folder / "start-85K.extxyz").write_text("0\nstate=85K number_density=1.2.3 pressure_GPa=0.1\n")
    point = PointStanding(name="a", values={}, digest="", steps=[StepStanding(task="prepare", ending="done")])
    standing = Standing(title="t", study="s", tasks=["prepare"], labels={}, collect=["scores"], points=[point])
    (row,) = rows_of(standing, tmp_path)
    assert "number_density in the header is not a number" in row.unread
