"""The rule for verdicts and its parts, as functions of numbers alone."""
