"""Many-body potentials of one element."""
