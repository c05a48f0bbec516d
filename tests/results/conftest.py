"""Folders of finished runs, made as the tests of the report have them."""

from tests.report.conftest import crowded_run, make_run

__all__ = ["crowded_run", "make_run"]
