"""One file per class of anomaly, each with a `DETECTOR`; found by scanning this folder."""
