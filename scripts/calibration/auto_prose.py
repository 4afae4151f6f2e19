"""The words of docs/auto_seeds.md; scripts/simulate_auto_seeds.py puts the figures in."""

REPORT = """{num_tables}
{averaged}

{each}

{commit} {cpu} {minutes:.0f}
"""
