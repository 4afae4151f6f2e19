"""The machine below: atomic files, locks, signals, memory, resources, downloads."""
