"""The page of a scan of a model or of a training set."""
