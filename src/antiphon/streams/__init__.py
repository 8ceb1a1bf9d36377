"""Live events: `channel` in this process, `live` through the store for turns of other processes."""
