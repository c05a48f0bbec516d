"""One HTML file that shows what a refinement did: `write_report` reads an output folder and writes ``report.html``."""

from refine.report.page import write_report

__all__ = ["write_report"]
