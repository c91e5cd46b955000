"""Figures, one a file: a Plotly figure built once, filled with columns by the browser.

A figure's module defines `TEMPLATE`. The folder is scanned: a new figure is one new file.
"""
