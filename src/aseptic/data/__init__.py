"""Floor 2: images, labels, ids; readers, writers and phantoms. Never a model."""
