"""Models of what a change of the correction does to the curves, behind one signature (`protocol.Response`)."""

from refine.refinement.responses.fluctuation import fluctuation
from refine.refinement.responses.protocol import ResponseModel

RESPONSES: dict[str, ResponseModel] = {"fluctuation": fluctuation}
"""By name; every entry passes tests/refinement/test_responses.py."""
