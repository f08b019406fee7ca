"""What is measured on a model of each task."""
