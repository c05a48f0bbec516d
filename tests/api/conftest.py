"""Folders of finished runs, made as the tests of the report have them."""

from tests.report.conftest import make_run

__all__ = ["make_run"]
