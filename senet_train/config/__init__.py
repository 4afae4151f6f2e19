"""The configuration of a run: its schema, composed by Hydra, read and checked, names resolved."""
