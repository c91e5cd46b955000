"""The facts store's history. Every step can be run again from wherever it was cut off."""
