"""The misfit between model and measurement, taken apart."""
