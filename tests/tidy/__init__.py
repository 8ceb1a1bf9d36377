"""The house rules as tests: each is a function from texts to findings, with a sample that it must find fault with."""
