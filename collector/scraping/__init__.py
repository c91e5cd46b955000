"""An engine's metrics page, read into the vocabulary."""
