"""Floor 1: pure tensor functions with stated laws."""
