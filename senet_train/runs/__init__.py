"""A run as it lies on disk: its identity, folder, record, files, and the network loaded again."""
