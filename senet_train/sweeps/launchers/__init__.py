"""A process, or a cluster's job, for each run."""
