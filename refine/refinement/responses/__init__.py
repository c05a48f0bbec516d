"""Response models: how averages answer to a change of the potential."""
