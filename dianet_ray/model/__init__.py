"""The network and its training: torch and numpy only, runs without Ray."""
