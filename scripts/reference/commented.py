"""The comments that stand behind names in a source: `jobs: int = 1  # at once` -> jobs, at once."""

import re

NAMED = re.compile(r'^\s*"?(\w+)"?\s*:.*?  # (.*)$', re.MULTILINE)


def commented_keys(source: str) -> dict[str, str]:
    """Each name that is declared with a comment behind it, and the comment."""
    return dict(NAMED.findall(source))
