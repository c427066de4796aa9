"""One clip, pure: from frames to dynamic images."""
