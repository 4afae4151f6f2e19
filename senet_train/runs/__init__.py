"""A run on disk: its identity, folder, files and record, and its network loaded again."""
