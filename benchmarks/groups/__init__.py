"""The groups of benchmarks. Each module has a function ``groups``, which creates its files and yields its groups."""
