"""Steps of the state history, oldest first."""
