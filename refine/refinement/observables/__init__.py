"""Observables: averages over frames that can be measured, each with its linear response to the correction.

An observable is a module with a class (`protocol.Observable`) and a line in `OBSERVABLES`;
tests/refinement/test_observables.py tests every entry.
"""

from __future__ import annotations

from refine.refinement.observables.curve import CurveObservable
from refine.refinement.observables.pressure import Pressure
from refine.refinement.observables.protocol import Observable

OBSERVABLES: dict[str, type[Observable]] = {kind.name: kind for kind in (CurveObservable, Pressure)}
"""By name."""
