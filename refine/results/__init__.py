"""What a run leaves in its folder: one schema, its writer and its readers."""
