"""The nouns of Antiphon, their ids, limits and errors: plain values, no input or output."""
