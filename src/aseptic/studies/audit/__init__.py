"""The audit: attack, control, explain, measure, and say what follows, in cells that survive a kill."""
