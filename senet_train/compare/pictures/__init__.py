"""A comparison drawn."""
