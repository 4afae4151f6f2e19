"""A trained run, loaded: a stranger's run is data, and nothing in its folder is executed."""
