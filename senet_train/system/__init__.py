"""The machine under us: files written whole, locks, signals, memory, downloads."""
