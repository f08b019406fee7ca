"""Floor 2: numbers from predictions; every one comes with its interval and its count."""
