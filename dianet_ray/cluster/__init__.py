"""The Ray cluster that a command joins or starts, whose nodes may come and go."""
