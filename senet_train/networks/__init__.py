"""Networks with attention in them: chosen, opened, filled, loaded, counted, made fast."""
