"""Models of what a change of the correction does to the curves, behind one signature (`protocol.Response`)."""

from refine.refinement.responses.closure import Closure
from refine.refinement.responses.combined import Combined
from refine.refinement.responses.fluctuation import fluctuation
from refine.refinement.responses.protocol import ResponseModel

RESPONSES: dict[str, ResponseModel] = {"auto": Combined, "fluctuation": fluctuation, "closure": Closure}
"""By name; every entry passes tests/refinement/test_responses.py."""
