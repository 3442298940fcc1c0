"""Sync: send only the rows of a source that changed, and delete the vectors that left it."""
