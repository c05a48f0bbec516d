"""Labelled frames, and how far a MACE model is from their labels: the loss, its derivative by the weights, training."""
