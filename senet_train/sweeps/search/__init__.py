"""`hydra/sweeper=search`: hyperparameters by validation score, trial by trial (optuna)."""
