"""Synthetic data sets in the layouts of real ones."""
