"""One rule for verdicts, and what it is made of. Numbers in, numbers out."""
