"""Pictures that are enlarged are pointed out: the time they take teaches the network nothing."""

from pathlib import Path

import pytest
from support import Senet, write_image

from senet_train.data.picture_sizes import SAMPLE, enlarged_note, short_sides


def pictures(folder: Path, sizes: list[tuple[int, int]]) -> list[str]:
    """A PNG file of each width and height."""
    paths = []
    for number, (width, height) in enumerate(sizes):
        path = folder / f"{number}.png"
        write_image(path, number, (height, width))
        paths.append(str(path))
    return paths


def test_the_shorter_side_counts_and_a_damaged_file_does_not(tmp_path: Path) -> None:
    paths = pictures(tmp_path, [(48, 90), (90, 40)])
    (tmp_path / "no.png").write_bytes(b"no picture")
    assert short_sides([*paths, str(tmp_path / "no.png"), str(tmp_path / "gone.png")]) == [48, 40]


def test_files_are_taken_from_the_whole_list(tmp_path: Path) -> None:
    """The last classes may hold others than the first."""
    [small, large] = pictures(tmp_path, [(8, 8), (200, 200)])
    found = short_sides([small] * 500 + [large] * 500)
    assert SAMPLE - 1 <= len(found) <= SAMPLE
    assert found.count(200) == len(found) // 2


@pytest.mark.parametrize(
    ("image_size", "share"), [(48, ""), (71, ""), (72, "1/2"), (96, "1/4"), (128, "1/7")]
)
def test_what_is_said(tmp_path: Path, image_size: int, share: str) -> None:
    note = enlarged_note(pictures(tmp_path, [(48, 64), (50, 50), (47, 200)]), image_size)
    assert len(note) == bool(share)
    if share:
        assert note[0].endswith(f"data.image_size=48 takes {share} of the multiply-adds")
    assert enlarged_note([], image_size) == []


def test_a_dry_run_says_it(senet: Senet, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        pictures(tmp_path / "pets" / name, [(20 + n, 20) for n in range(12)])
    line = ("data=imagenet_subset", "data.root=pets", "model=resnet8", "dry_run=true")
    assert (
        "short side of 20 px or less, and data.image_size=64 "
        in senet(*line, "data.image_size=64").err
    )
    assert "short side" not in senet(*line, "data.image_size=20").err
