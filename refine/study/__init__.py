"""What a study file means: its schema, its curves, its base model, its rule. Builds, and never runs."""
