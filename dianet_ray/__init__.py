"""Distributed cross-validation and hyper-parameter search for DIANet (arXiv 2510.12219)."""

__version__ = "0.1.0"
