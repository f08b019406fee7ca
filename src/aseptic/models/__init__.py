"""Floor 2: what may be audited, how it is loaded safely, and how it is trained. Never data."""
