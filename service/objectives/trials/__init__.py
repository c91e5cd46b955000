"""Unit tests of objectives: what is put in, what must come out, and where it did not.

`reading` makes `Trial`s of a file, with `series` and `requests` for its two kinds of input;
`running` plays them through the engine that judges live facts.
"""
