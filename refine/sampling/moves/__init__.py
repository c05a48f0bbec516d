"""Moves of atoms that are no dynamics."""
