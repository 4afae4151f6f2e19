"""Many runs: tables of arms, seeds, searches, and what launches them."""
