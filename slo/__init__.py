"""Objectives, indicators, windows, burn rates and budgets. Pure: no clock, no I/O."""
