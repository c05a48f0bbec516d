"""Base models and the correction that is added to them: energies and forces, and nothing of how atoms move."""
