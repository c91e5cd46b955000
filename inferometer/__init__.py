"""The command: parses, calls, prints. Imports lazily."""
