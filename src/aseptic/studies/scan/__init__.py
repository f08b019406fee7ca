"""Floor 7: what clean and infected twins of a model look like to a scanner."""
