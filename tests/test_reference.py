"""The reference is generated from the code: the pages that are committed are those that it makes now."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import rmtsim
from docs.docstrings import faults
from docs.generate import DOCS, PARTS, generated_pages, renewed
from docs.generate.python_names import MODULES, PUBLIC, find, public_names
from rmtsim.cli.parser import parser
from rmtsim.figures import all_figures
from rmtsim.model.choices import ACTIVATIONS, WEIGHTS
from rmtsim.sampling.schema import MEANINGS, SCHEMA
from rmtsim.store.compact import compact
from rmtsim.store.core_time import CoreTime, Taken
from rmtsim.store.locations import _OPTIONS
from rmtsim.store.shard_checks import FORMATS
from rmtsim.sweeps.declaration import keys_of
from rmtsim.sweeps.spec import Spec, builtin_specs
from rmtsim.sweeps.training_spec import TrainingSpec, builtin_trainings

REFERENCE = DOCS / "reference"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text("utf-8")


@pytest.mark.parametrize("path", generated_pages(), ids=lambda path: path.stem)
def test_the_committed_page_is_what_the_code_makes(path: Path) -> None:
    text = path.read_text("utf-8")
    assert renewed(text) == text, "write it anew: python -m docs.generate"


def test_every_part_is_on_a_page() -> None:
    texts = "".join(path.read_text("utf-8") for path in generated_pages())
    assert set(re.findall("<!-- generated: (.+?) -->", texts)) == set(PARTS)


def test_a_change_of_the_code_or_of_the_page_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page("store")
    assert renewed(text.replace("Number of classes C.", "Number of cats.")) == text
    monkeypatch.setitem(MEANINGS, "n_classes", "Number of dogs.")
    assert "Number of dogs." in renewed(text)


def test_every_verb_and_option_is_described() -> None:
    text = page("command-line")
    [verbs] = [action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for name, verb in verbs.items():
        section = text.split(f"\n### {name}\n")[1].split("\n### ")[0]
        for action in verb._actions[1:]:
            shown = action.option_strings[-1] if action.option_strings else action.metavar
            row = re.search(rf"^\| `{re.escape(str(shown))}[ `].* \| (.+) \|$", section, re.MULTILINE)
            assert row, f"{name}: {shown} has no meaning"
            if action.default not in (None, False, argparse.SUPPRESS):
                assert "default" in row[1], f"{name}: {shown} does not say its default"


def test_every_name_is_listed() -> None:
    for name in builtin_specs() + builtin_trainings():
        assert f"| [`{name}`](../../sweeps/{name}.toml) |" in page("built-in-specs")
    assert all(f"| `{name}` |" in page("figures") for name in all_figures())
    assert all(f"| `{key.name}` |" in page("spec") for kind in (Spec, TrainingSpec) for key in keys_of(kind))
    assert list(MEANINGS) == SCHEMA.names
    assert all(f"`{option}`" in page("store") for option in _OPTIONS)
    public = {name.split(".")[1] for names in PUBLIC.values() for name in names if name.count(".") == 1}
    assert public == {name for name in dir(rmtsim) if not name.startswith("__") and name != "plot"}
    plots = {name.split(".")[2] for names in PUBLIC.values() for name in names if name.startswith("rmtsim.plot.")}
    assert plots == set(rmtsim.plot.__all__)
    assert find("rmtsim.Store.draws").__doc__


@pytest.mark.parametrize("name", ["python", "spec", "store"])
def test_the_pages_name_nothing_that_is_internal(name: str) -> None:
    """A name inside a module is public; but a session shows errors by the module that has them."""
    known = {*public_names(), *MODULES, "rmtsim.errors.InputError"}
    assert set(re.findall(r"rmtsim(?:\.[A-Za-z_]+){2,}", page(name))) <= known


def test_the_metadata_of_a_shard_are_described(tmp_path: Path) -> None:
    point = rmtsim.Point("linear", "mse", n_classes=2, dim=4, n_samples=8)
    store = rmtsim.open_store(tmp_path / "s")
    for draws in (range(2), range(2, 4)):
        with store.writer() as writer:
            writer.append(rmtsim.simulate(point, draws), {"name": "two"}, CoreTime({point.id: Taken(2, 0.5)}))
    compact(store)
    [shard] = store.draws_folder.iterdir()
    table = page("store").partition("## Metadata of a shard")[2].partition("\n## ")[0]
    described = {
        key for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for key in re.findall("`(.*?)`", row)
    }
    assert described == {key.decode() for key in pq.read_metadata(shard).metadata}
    assert json.loads(pq.read_metadata(shard).metadata[b"rmtsim.replaces"])
    assert f"writes format {FORMATS[-1]}, and reads {FORMATS[0]} to {FORMATS[-1]}" in page("store")


def test_the_linter_of_docstrings_finds_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(faults("rmtsim.fit")) == []
    documented = rmtsim.fit.__doc__
    for part, found in (("Parameters", "PR01"), ("Returns", "RT01"), ("Examples", "EX01")):
        rest = str(documented).replace(f"{part}\n    {'-' * len(part)}", "Others")
        monkeypatch.setattr(rmtsim.fit, "__doc__", rest)
        assert any(f": {found}: " in fault for fault in faults("rmtsim.fit")), part


def test_every_law_and_activation_is_described() -> None:
    text = (DOCS / "explanation" / "laws.md").read_text("utf-8")
    with pytest.raises(rmtsim.InputError) as caught:
        rmtsim.Ensemble(data="none")
    forms = str(caught.value).partition("choose one of ")[2].split(", ")
    assert len(forms) > 5
    assert all(f"| `{form}` | " in text for form in forms)
    assert all(f"`{name}`" in text for name in (*WEIGHTS, *ACTIVATIONS))


def test_the_glossary_has_the_words_and_the_symbols() -> None:
    text = page("glossary")
    words = "block layer draw point checkpoint shard finite limit claim verdict sweep spec store seed"
    assert all(re.search(rf"^\*\*[^*]*\b{word}\b", text, re.MULTILINE | re.IGNORECASE) for word in words.split())
    table = dict(re.findall(r"^\| (\w|γ = d/N) \| `(\w+)` \|", text, re.MULTILINE))
    fields = {"C": "n_classes", "d": "dim", "N": "n_samples", "m": "width", "γ = d/N": "aspect_ratio"}
    assert fields.items() <= table.items()
    assert {"X", "W", "V"} <= set(table)


def test_every_environment_variable_of_its_own_is_described() -> None:
    sources = (path.read_text("utf-8") for path in (DOCS.parent / "rmtsim").rglob("*.py"))
    own = {name for source in sources for name in re.findall(r'"(RMTSIM_[A-Z_]+)"', source)}
    assert "RMTSIM_CACHE" in own
    assert all(f"| `{name}` | " in page("command-line") for name in own)
