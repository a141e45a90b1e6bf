"""The report in a real browser: no errors, no requests, nothing wider than the window, legible in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import rmtsim
from tests.browser import NAMES, Browser, Opened, browser, chromium

pytestmark = pytest.mark.skipif(
    chromium() is None, reason=f"there is no Chromium here (one of {', '.join(NAMES)}): apt-get install chromium"
)

SPEC = {
    "name": "a_sweep_of_a_rather_long_name_that_a_phone_has_no_room_for",
    "model": "linear",
    "loss": "mse",
    "grid": {"n_classes": [2, 10, 20, 40, 80], "aspect_ratio": [0.5], "dim": [20]},
    "sampling": {"min_draws": 32, "max_draws": 32, "target_rse": 0.05},
}

#: How far a page is wider than its window.
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

#: The contrast of the text of an element with the page, by the definition of WCAG.
CONTRAST = """(selector) => {
  const light = (color) => {
    const part = color.match(/[\\d.]+/g).slice(0, 3).map((x) => x / 255);
    const [r, g, b] = part.map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const of = (one, name) => light(getComputedStyle(one)[name]);
  const paper = of(document.body, "backgroundColor");
  const name = selector.startsWith("figure") ? "fill" : "color";
  const found = [...document.querySelectorAll(selector)].map((one) => of(one, name));
  return found.map((ink) => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05));
}"""


#: The least contrast that texts and drawings may have, of elements that there are.
CONTRASTS = {"h1": 7, "summary": 4.5, "td": 4.5, ".verdict": 4.5, ".note": 4.5, "figure svg.drawing": 7}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    rmtsim.run(SPEC, folder / "store", workers=1)
    rmtsim.report(folder / "store", folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started


def unfold(page: Opened) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True), (1920, False)])
def test_it_opens(running: Browser, report: Path, width: int, dark: bool) -> None:
    page = running.open(report, width=width, dark=dark)
    for _ in ("folded", "unfolded"):
        assert page.evaluate(WIDER) == 0
        unfold(page)
    assert page.errors == []
    assert [address for address in page.requests if not address.startswith("data:")] == [report.resolve().as_uri()]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(21, 23, 27)" if dark else "rgb(255, 255, 255)"
    )
    for selector, least in CONTRASTS.items():
        found = page.evaluate(f"({CONTRAST})({selector!r})")
        assert found, selector
        assert min(found) > least, selector
    drawn = page.evaluate("document.querySelector('figure svg').getBoundingClientRect().height")
    assert drawn > 100


#: What a browser would show where the pointer rests on the middle of each mark: the title of what lies on top there.
SHOWN = """[...document.querySelectorAll("figure svg .mark")].map((mark) => {
  mark.scrollIntoView({block: "center", inline: "center"});
  const {x, y, width, height} = mark.getBoundingClientRect();
  const top = document.elementFromPoint(x + width / 2, y + height / 2);
  return [top?.querySelector(":scope > title")?.textContent ?? null, mark.querySelector("title").textContent];
})"""


def test_marks_say_their_numbers(running: Browser, report: Path) -> None:
    page = running.open(report)
    found = page.evaluate(SHOWN)
    assert len(found) == 10  # two quantities of five points; those of MSE that are zero have none
    assert [shown for shown, _ in found] == [own for _, own in found]
    assert "number of classes C: 80" in found[-1][1].splitlines()
    page.evaluate("document.styleSheets[0].insertRule('figure svg .mark { pointer-events: none !important }', 0)")
    assert not any(shown == own for shown, own in page.evaluate(SHOWN))  # a negative control


def test_it_prints(running: Browser, report: Path, tmp_path: Path) -> None:
    page = running.open(report, dark=True)
    page.pdf(tmp_path / "report.pdf")
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert 2 <= data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") <= 12
    page.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('.pointer')).display") == "none"
    assert page.evaluate("document.querySelector('details:not(.long) table').getBoundingClientRect().height") > 20


@pytest.mark.parametrize(
    ("bad", "seen"),
    [
        ("<img src='http://127.0.0.1:9/a.png'>", "errors"),  # which the page's policy forbids
        ("<script>1</script>", "errors"),
        ("<div style='width: 3000px'>wide</div>", "wide"),
    ],
)
def test_the_browser_notices(running: Browser, report: Path, bad: str, seen: str, tmp_path: Path) -> None:
    """A negative control."""
    (tmp_path / "bad.html").write_text(report.read_text("utf-8").replace("</main>", f"{bad}</main>"))
    page = running.open(tmp_path / "bad.html")
    wide = page.evaluate(WIDER)
    assert [bool(page.errors), wide > 0] == [seen == "errors", seen == "wide"]


def test_the_browser_notices_requests(running: Browser, tmp_path: Path) -> None:
    """A negative control, of a page without a policy."""
    (tmp_path / "bad.html").write_text("<!DOCTYPE html><img src='other.png'>")
    assert len(running.open(tmp_path / "bad.html").requests) == 2
