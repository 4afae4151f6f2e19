"""`hydra/sweeper=search`: hyperparameters by validation top-1, trial by trial (optuna)."""
