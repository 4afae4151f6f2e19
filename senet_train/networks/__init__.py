"""Networks with attention in them: bound, built, loaded, counted, and made fast."""
