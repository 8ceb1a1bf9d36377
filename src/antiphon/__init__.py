"""A self-hosted conversation server for AI agents and chat apps."""

__version__ = "0.1.0"
