"""A comparison as text, pictures and a page; nothing is computed here that it does not hold."""
