"""Floor 4: evasion attacks, one method per module, all measured by the same `run`."""
