"""The result of a check: a summary on standard output, every finding in a CSV file."""

from collections.abc import Iterable
from pathlib import Path

from senet_train.commands.data_check.findings import KINDS, Finding
from senet_train.commands.data_check.inspect_tree import TreeReport
from senet_train.data.layout import Layout
from senet_train.errors import counted
from senet_train.system.csv_files import csv_text
from senet_train.system.files import write_text

NUM_SHOWN = 3  # of each kind
CONSEQUENCE = {"exclude": "excluded", "mend": "to be mended", "note": "noted"}


def summary_lines(report: TreeReport, layout: Layout) -> Iterable[str]:
    """The summary: what was read, then each kind with its count and its first paths."""
    counts = " and ".join(f"{count:,} in {part}/" for part, count in report.num_images.items())
    known = sum(report.num_images.values()) - report.num_decoded
    yield (
        f"{layout.base}: {counts}, {report.num_classes} classes; "
        f"{counted(report.num_decoded, 'image')} decoded, {known:,} known from an earlier check"
    )
    yield layout.sentence
    for kind, (remedy, meaning) in KINDS.items():
        found = [finding for finding in report.findings if finding.kind == kind]
        if found:
            yield ""
            yield f"{kind}: {len(found):,} {CONSEQUENCE[remedy]} ({meaning})"
            yield from (f"  {shown(finding)}" for finding in found[:NUM_SHOWN])
            if len(found) > NUM_SHOWN:
                yield f"  ... {len(found) - NUM_SHOWN:,} more"
    if not report.findings:
        yield "nothing odd"


def shown(finding: Finding) -> str:
    """A finding on one line."""
    return f"{finding.path} ({finding.detail})" if finding.detail else finding.path


def write_csv(findings: Iterable[Finding], file: Path) -> None:
    """Every finding, a row each: kind, remedy, path, detail. Raises OSError."""
    rows = [["kind", "remedy", "path", "detail"]]
    for finding in findings:
        rows.append([finding.kind, finding.remedy, finding.path, finding.detail])
    write_text(file, csv_text(rows))
