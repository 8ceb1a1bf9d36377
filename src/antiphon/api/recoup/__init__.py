"""Recoup's wire: sessions with several chats each."""
