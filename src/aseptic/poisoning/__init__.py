"""Floor 4: poisoned training sets, made from a plan."""
