"""The machine below: files, ours and others', text, locks, signals, memory, downloads."""
