"""One run: planned, fitted, tested, recorded."""
