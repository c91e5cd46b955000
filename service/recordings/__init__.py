"""Recorded incidents, read into the same records that a live fleet sends.

A recording is a file or a folder of per-request rows, Prometheus answers, DCGM rows and
traces, plain or gzipped. What a file is, is seen from its content, never from its name. Every
map from a recorded name to a column of ours is a table in this package.
"""
