"""The Ray cluster as it comes and goes."""
