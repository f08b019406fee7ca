"""Floor 5: runs cells: content-addressed cache, resume, failures that stay local. Knows no science."""
