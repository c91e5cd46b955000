"""Steps of the facts history, oldest first."""
