"""One run: plan, training, test, record."""
