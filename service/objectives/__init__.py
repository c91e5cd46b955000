"""Objectives as people write them: YAML files in OpenSLO form, and the starters we ship.

`files.read` is the door; what comes out are `slo.objective.Objective`s, what cannot be read
is one `ObjectiveFileError` with every mistake in it. The language is in docs/objectives.md.
"""
