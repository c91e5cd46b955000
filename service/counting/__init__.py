"""The fold of the journal into counts of good and bad, and the objectives it counts for."""
