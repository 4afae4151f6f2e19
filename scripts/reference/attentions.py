"""The page of attentions: what each file says of its equation, paper and parameters."""

import ast
import inspect
from pathlib import Path

from reference.markdown import block, page
from reference.settings import CONF, keys_table
from senet_train.attention import ATTENTIONS


def attentions_page() -> str:
    """The whole page."""
    introduction = (
        "`attention=NAME` chooses one. Each maps (B, C, H, W) to the same shape, so it may go into "
        "any slot of a network: `placement.stages` says in which stages, `placement.position` at "
        "which place in a block ([Settings](settings.md#of-every-run)). The text is that of the "
        "file that has the module; names with one file share its text."
    )
    parts: list[str] = []
    for name in ATTENTIONS:
        parts += attention_parts(name)
    return page("Attentions", introduction, *parts)


def attention_parts(name: str) -> list[str]:
    """A heading, the equation with its paper, and the options."""
    owner = ATTENTIONS[name]
    said = module_text(Path(inspect.getsourcefile(owner) or ""))
    of_class = inspect.getdoc(owner) or ""
    texts = [block(said if "\n" in said else of_class)]
    options = keys_table("attention", CONF / f"attention/{name}.yaml")
    title = f"{owner.__module__}.{getattr(owner, '__name__', name)}"
    return [f"## {name}", f"`{title}`", *texts, options]


def module_text(file: Path) -> str:
    """The docstring of a source file."""
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
