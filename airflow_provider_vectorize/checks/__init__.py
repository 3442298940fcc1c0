"""Checks whether an index holds what was written to it, and whether its queries find it."""
