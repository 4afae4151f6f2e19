"""The parts of scripts/find_overruns.py."""
