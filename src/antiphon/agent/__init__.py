"""Those who answer: one run of a model, token by token."""
