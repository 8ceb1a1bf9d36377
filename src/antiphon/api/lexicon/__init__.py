"""Lexicon's wire: chats that belong to users, and a socket on which the agent answers."""
