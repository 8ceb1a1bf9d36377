"""The paths that belong to no dialect: is it alive, is it ready, what has it counted."""
