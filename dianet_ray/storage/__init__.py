"""File systems and object stores, and the one way to write a file whole."""
