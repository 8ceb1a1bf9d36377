"""Places where commands run, confined to a directory."""
