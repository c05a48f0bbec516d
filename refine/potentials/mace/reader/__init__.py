"""MACE checkpoints in: pickles, archives and the neutral form, read without trusting them."""
