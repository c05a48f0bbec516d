"""For notebooks and scripts: what `refine` offers by name, with figures."""
