"""Recorded fold matrices, and searches replayed against them."""
