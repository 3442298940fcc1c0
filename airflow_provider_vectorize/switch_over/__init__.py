"""Switches readers from one index to another: the pointer, and the indexes that it names."""
