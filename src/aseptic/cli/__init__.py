"""Floor 6: one file per command: parses, calls, prints; no science."""
