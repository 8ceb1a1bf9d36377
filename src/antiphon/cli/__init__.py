"""The command line: one module a group of commands. It asks, calls the core and prints; it never decides."""
