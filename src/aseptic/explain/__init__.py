"""Floor 4: where a network looks, and how far an attack moves it."""
