"""How infected a model is, given a trigger: raw rows of its answers, and what is measured on them."""
