"""What the data say: noise, prior, evidence, posterior, identifiability."""
