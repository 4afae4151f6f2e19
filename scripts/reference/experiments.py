"""The page of presets: the header of every file in conf/experiment."""

from pathlib import Path

from reference.conf_file import header_of
from reference.markdown import block, page

PRESETS = Path(__file__).parents[2] / "conf/experiment"


def experiments_page() -> str:
    """The whole page."""
    introduction = (
        "`senet-train experiment=NAME` runs a preset. Each is a file in `conf/experiment/` that "
        "names arms as changes to a base, or a recipe. This is what each file says of itself."
    )
    parts: list[str] = []
    for file in sorted(PRESETS.glob("*.yaml")):
        if file.stem != "none":
            parts += [f"## {file.stem}", block("\n".join(header_of(file)))]
    return page("Experiments", introduction, *parts)
