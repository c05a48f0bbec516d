"""What a curve is, by its numbers: candidates for quantity and normalisation, each with its evidence, ranked.

Nothing is decided here: whoever measured the curve knows what it is, and a study has to say it. But every total or
partial distribution function has limits (`refine.curves.checks`), and what contradicts them is something else.
"""

from __future__ import annotations

from refine.curves.inspection.candidates import Candidate, Inspection, inspect
from refine.curves.inspection.evidence import Evidence

__all__ = ["Candidate", "Evidence", "Inspection", "inspect"]
