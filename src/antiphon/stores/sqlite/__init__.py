"""The embedded store: one SQLite file, one writer thread, reads where they are cheapest."""
