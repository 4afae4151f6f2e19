"""What a run may be asked: its schema, how it is read and composed, names to constructors."""
