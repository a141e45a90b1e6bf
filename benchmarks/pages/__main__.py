"""Write README's table and picture, and the pages of docs/results, from stored results.

Without OUT the pages are made of what docs/results and benchmarks/results.json hold. With OUT, which `rmtsim reproduce`
filled, its verdicts, its figures and, after `rmtsim reproduce all`, its numbers take the place of those first.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import sys
from pathlib import Path

from benchmarks.pages import gpu_page, gpu_runs, kills_page, speed, verdict_tables
from docs.verdicts import checks, open_questions, paper
from docs.verdicts.entries import figure_page
from docs.verdicts.sections import parts, sections, with_full

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
VERDICTS, README = RESULTS / "verdicts.json", ROOT / "README.md"
#: The numbers of all figures, as `rmtsim reproduce all` wrote them.
GALLERY = ROOT / "benchmarks" / "gallery.md"

#: The figures that a page has a summary of, by the link to it.
_SUMMARIES = {
    f"[{page.TITLE}](../{file})": page.ENTRIES
    for file, page in (("paper.md", paper), ("open-questions.md", open_questions), ("checks.md", checks))
}

#: What README's table stands between.
_BEGIN, _END = "<!-- verdicts: python -m benchmarks.pages -->\n", "\n<!-- end of verdicts -->"


def pages() -> dict[Path, str]:
    """Return the text of every page that is made here, by its file."""
    gallery, verdicts = GALLERY.read_text("utf-8"), json.loads(VERDICTS.read_text("utf-8"))
    found, raw = sections(gallery), parts(gallery)
    measured = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
    return {
        README: _with_table(README.read_text("utf-8"), verdict_tables.readme_table(verdicts["claims"])),
        RESULTS / "verdicts.md": verdict_tables.page(verdicts),
        RESULTS / "numbers" / "verdicts.md": verdict_tables.numbers(verdicts),
        RESULTS / "paper.md": paper.paper(found),
        RESULTS / "open-questions.md": open_questions.open_questions(found),
        RESULTS / "checks.md": checks.checks(found),
        RESULTS / "speed.md": speed.page(measured),
        RESULTS / "kills.md": kills_page.page(measured),
        RESULTS / "gpu.md": gpu_page.page(
            json.loads((RESULTS / "gpu_counts.json").read_text("utf-8")), gpu_runs.rows_of(RESULTS / "gpu_check.jsonl")
        ),
        **{
            RESULTS / "figures" / f"{entry.name}.md": figure_page(entry, found[entry.name], raw[entry.name], link)
            for link, entries in _SUMMARIES.items()
            for entry in entries
        },
    }


def take(out: Path) -> None:
    """Put the verdicts, the numbers and the pictures of a run in the place of those that are here.

    Numbers of ``--full`` stay where the run has none.
    """
    verdicts = verdict_tables.short(json.loads((out / "verdicts.json").read_text("utf-8")))
    VERDICTS.write_text(json.dumps(verdicts, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if (gallery := out / "gallery.md").exists():
        GALLERY.write_text(with_full(gallery.read_text("utf-8"), GALLERY.read_text("utf-8")), "utf-8")
    if (table := out / "agreement.txt").exists():
        shutil.copyfile(table, RESULTS / "numbers" / "agreement.md")
    for file in out.glob("*.png"):
        (RESULTS / file.name).write_bytes(_small(file))


def _small(picture: Path) -> bytes:
    """Return a picture with 256 colours, which take a third of the bytes; as it is where that saves nothing."""
    from PIL import Image

    made = io.BytesIO()
    Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(made, "png", optimize=True)
    return min(made.getvalue(), picture.read_bytes(), key=len)


def _with_table(readme: str, table: str) -> str:
    head, found, rest = readme.partition(_BEGIN)
    old, end, tail = rest.partition(_END)
    if not (found and end) or re.search(r"^#", old, re.MULTILINE):
        sys.exit(f"README.md has no table between {_BEGIN.strip()!r} and {_END.strip()!r}; put these lines back")
    return f"{head}{_BEGIN}{table}{_END}{tail}"


def main() -> None:
    """Write the pages, or say which differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT", help="the folder of `rmtsim reproduce --out OUT`")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; name the pages that differ, and end with 1"
    )
    arguments = parser.parse_args()
    if arguments.check:
        differing = [path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
        for path in differing:
            print(f"{path.relative_to(ROOT)}: not what its numbers make; run python -m benchmarks.pages")
        sys.exit(bool(differing))
    if arguments.out is not None:
        if not (arguments.out / "verdicts.json").exists():
            parser.error(f"OUT: {arguments.out} has no verdicts.json; give a folder that `rmtsim reproduce` filled")
        take(arguments.out)
    for path, text in pages().items():
        path.write_text(text, "utf-8")
    _draw_blocks()


def _draw_blocks() -> None:
    from benchmarks.pages import block_picture
    from rmtsim.figures.matplotlib_setup import encoded

    (RESULTS / "blocks.png").write_bytes(encoded(block_picture.draw(), ".png"))


if __name__ == "__main__":
    main()
