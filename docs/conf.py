"""The documentation site: `uv run --group docs sphinx-build -W -b html docs docs/_build`."""

from importlib import metadata

project = "senet-train"
release = metadata.version("senet-train")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# The last three are what a build leaves of notebooks, and what notebooks train.
exclude_patterns = ["_build", "jupyter_execute", "notebooks/outputs", "notebooks/study"]
nb_execution_mode = "off"  # notebooks are shown with the outputs that they are kept with
html_theme = "furo"
html_title = f"senet-train {release}"
html_copy_source = False
# Text is shown as it is written: no quote, dash or backslash is replaced.
smartquotes = False

# Links to headings are written as a repository's page has them: data.md#folders.
myst_heading_anchors = 4
# The pages hold shell and real output, so a block without a language is plain text.
highlight_language = "none"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
