"""The loop: sample, count, predict, update; its record and its store."""

from refine.tasks.run.loop import run_study

__all__ = ["run_study"]
