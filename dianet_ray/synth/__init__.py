"""Synthetic data sets in the layouts of real ones, for demos, tests and calibration.

Only the `synth` and `demo` commands import this package.
"""
