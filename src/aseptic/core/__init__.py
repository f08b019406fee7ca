"""Floor 0: errors, types, named random streams, estimates, registries, records."""
