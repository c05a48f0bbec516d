"""The forward model: from pair counts to the curve that an instrument would report. Counts in, curves out."""
