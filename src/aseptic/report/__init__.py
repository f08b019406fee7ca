"""Floor 5: records in, one HTML page out; runs without torch."""
