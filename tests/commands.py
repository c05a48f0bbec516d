"""The program as a user calls it, in this process, and the tables that it writes."""

import csv
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from refine.cli.main import app


def call(*words: object) -> str:
    """What a command prints that ends well."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words: object) -> str:
    """The one line that a command ends with."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 2, result.output
    line = result.stderr.splitlines()[-1]
    assert line.startswith("refine: ")
    return line


def columns(path: Path) -> dict[str, np.ndarray]:
    """A table's columns by their names without units; an empty field is NaN."""
    with path.open() as stream:
        header, *rows = csv.reader(stream)
    assert header[0] in ("Q [1/angstrom]", "r [angstrom]")
    assert all(name.endswith("]") for name in header)
    names = [name.partition(" [")[0] for name in header]
    return dict(zip(names, np.array([[float(v or "nan") for v in row] for row in rows]).T, strict=True))
