"""Our own wire: what none of the other dialects has."""
