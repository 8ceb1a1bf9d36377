"""The tests, in rings: CONTRIBUTING.md says what each is for."""
