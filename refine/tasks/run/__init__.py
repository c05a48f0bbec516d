"""The loop: sample, count, predict, update (`loop`); its record, its store, what makes frames, and its verdict."""
