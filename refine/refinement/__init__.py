"""From samples to a new correction: rules, their responses, and what the data say. Nothing here samples."""
