"""The words both sides share: what is measured, who it is about, and how it travels.

Imports nothing of ours. The agent imports everything here but :mod:`telemetry.frame`,
which is the one module that needs numpy.
"""
