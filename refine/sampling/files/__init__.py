"""Frames that others make, at other times, with whatever moves atoms: `[sampling] engine = "files"`."""
