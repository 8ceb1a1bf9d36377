"""Databases: each folder is one that passes `contract/`."""
