"""Observables: averages over frames that can be measured, each with its linear response to the correction.

Curves are one kind (`curve`). Numbers are the others: a module with a class (`protocol.Observable`), the table of its
keys in [[data]] (`keys.MeasuredNumber`), and a line in `OBSERVABLES`; tests/refinement/test_observables.py tests every
entry.
"""

OBSERVABLES: dict[str, str] = {
    "pressure": "refine.refinement.observables.pressure:PressureKeys",
    "number density": "refine.refinement.observables.density:DensityKeys",
    "energy": "refine.refinement.observables.energy:EnergyKeys",
    "coordination number": "refine.refinement.observables.coordination:CoordinationKeys",
}
"""The table of each measured number, "module:class", by the `quantity` of its [[data]]."""
