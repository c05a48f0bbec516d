"""What an installed copy holds: every file that the code reads, and the licences of what is not ours."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_file_that_is_no_module_is_package_data() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for package in ("refine", "kernels"):
        folder = ROOT / package
        packed = {path for pattern in patterns.get(package, []) for path in folder.glob(pattern)}
        files = {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
        assert files <= packed, sorted(files - packed)


def test_licences_are_part_of_a_release() -> None:
    listed = {path for pattern in PROJECT["project"]["license-files"] for path in ROOT.glob(pattern)}
    assert set(ROOT.glob("refine/**/LICENSE*")) <= listed
    assert ROOT / "LICENSE" in listed


def test_plotly_is_an_extra() -> None:
    """A run and its report need the vendored script only."""
    assert not [name for name in PROJECT["project"]["dependencies"] if name.startswith("plotly")]
    assert [name for name in PROJECT["project"]["optional-dependencies"]["notebooks"] if name.startswith("plotly")]
