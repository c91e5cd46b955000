"""Objectives, indicators, windows, burn rates and budgets. Pure: no clock, no I/O.

The way of a request through it: an `indicators` file judges it (good, bad, not counted);
`cells.fold` adds the verdicts up as integers for each group and bucket of time; a `ring.Ring`
keeps the sums of every alert window, in what the budget counts (`slices`), of a running calendar
period too (`calendars`, `running`), without what `corrections` leave out; `evaluate` compares them
with the budget as exact rationals; `conditions` says it in the words alerts are made of.
"""
