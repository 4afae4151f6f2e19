"""A comparison as tables, text and a page. Everything shown is in the comparison already."""
