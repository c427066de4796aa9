"""Data sets: what a folder holds, by which rules a clip is used, and what is wrong with it."""
