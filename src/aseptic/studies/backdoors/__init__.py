"""What studies of backdoors share: cells that train, fine-tune, probe and explain, and the numbers read from them."""
