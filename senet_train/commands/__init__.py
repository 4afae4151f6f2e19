"""The small commands: arguments in, exit code out. Nothing imports them."""
