"""The Honcho dialect: workspaces, peers, sessions with one thread each, under `/v3`."""
