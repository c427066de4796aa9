"""What keeps a machine or a cluster from a search, and what to do about it."""
