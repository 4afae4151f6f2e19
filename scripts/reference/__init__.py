"""The pages of docs/reference that scripts/write_reference.py writes, a file for each page."""
