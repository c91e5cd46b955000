"""From what is judged to who is told."""
