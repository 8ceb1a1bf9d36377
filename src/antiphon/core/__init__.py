"""The verbs of Antiphon, one module per noun, and the ports through which they reach the outside."""
