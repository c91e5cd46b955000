"""Objectives asked of the past: tried, tested back, drafted, foreseen, judged on imports."""
