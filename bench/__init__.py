"""Measures the server against its floors: `make bench`, or `python -m bench` from the root of the checkout."""
