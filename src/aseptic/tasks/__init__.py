"""Floor 2: what a model is asked. A task knows its loss, its decision and its scores; a goal, what success is."""
