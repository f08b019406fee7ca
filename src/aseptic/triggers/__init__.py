"""Floor 3: what a backdoor is opened with, as pure functions of images."""
