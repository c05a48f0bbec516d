"""The loop: sample, count, predict, update; its record and its store."""
