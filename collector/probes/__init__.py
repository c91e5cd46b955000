"""Active checks: synthetic requests of our own, marked as such, that no user's objective counts."""
