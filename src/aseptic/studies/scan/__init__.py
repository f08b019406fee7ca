"""Floor 7: is this model, or this training set, backdoored? Scanners, twins to compare with, and a verdict."""
