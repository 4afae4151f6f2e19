"""The parts of scripts/calibrate_verdicts.py."""
