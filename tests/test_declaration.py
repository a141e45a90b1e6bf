"""What follows from the declaration of a spec: a sentence for each mistake, the reference, an example of every key."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.figures import all_figures
from rmtsim.sweeps import training_spec
from rmtsim.sweeps.declaration import document_of, key, keys_of, table
from rmtsim.sweeps.documents import builtin
from rmtsim.sweeps.parsing import parse
from rmtsim.sweeps.spec import Spec, from_document, load
from rmtsim.sweeps.spec_reference import short_help
from rmtsim.sweeps.training_spec import TrainingSpec
from rmtsim.sweeps.values import flag, list_of, whole

ROOT = Path(__file__).parents[1]

#: Good documents of each kind of spec, from which a mistake is made.
GOOD: dict[type, dict[str, Any]] = {
    Spec: tomllib.loads(builtin()["example"]),
    TrainingSpec: tomllib.loads(builtin()["training"]),
}
PARSERS: dict[type, Any] = {Spec: from_document, TrainingSpec: training_spec.from_document}


def changed(cls: type, place: str, name: str, value: object) -> dict[str, Any]:
    document = {key: dict(part) if isinstance(part, dict) else part for key, part in GOOD[cls].items()}
    (document.setdefault(place, {}) if place else document)[name] = value
    return document


@pytest.mark.parametrize("cls", GOOD)
def test_every_key_has_a_sentence_for_each_mistake(cls: type) -> None:
    for one in keys_of(cls):
        for value in (None, {"x": 1}, [{"x": 1}], b"x"):
            with pytest.raises(InputError) as caught:
                PARSERS[cls](changed(cls, one.table, one.name, value))
            sentence = str(caught.value)
            assert sentence.startswith(f"{one.title}: "), sentence
            assert re.search(r"; (give|choose) ", sentence), sentence
        if one.required:
            document = changed(cls, one.table, one.name, 0)
            del (document[one.table] if one.table else document)[one.name]
            with pytest.raises(InputError, match=rf"^{re.escape(one.title)}: the key is missing; (give|choose) "):
                PARSERS[cls](document)
    for place in {one.table for one in keys_of(cls)}:
        with pytest.raises(InputError, match=r"colour: there is no such key; the keys are \w+, "):
            PARSERS[cls](changed(cls, place, "colour", 1))
        if place:
            with pytest.raises(InputError, match=rf"\[{place}\]: .* is not a table of keys; give a dict, or in a TOML"):
                PARSERS[cls](GOOD[cls] | {place: [1]})


SEVERAL = {
    "name": "a/b",
    "model": "linear",
    "losses": "ce",
    "layers": ["hidden"],
    "grid": {"n_clases": [1, 2], "aspect_ratio": 0.5, "dim": [10.5]},
    "sampling": {"sed": 0, "targets": 0.2, "max_draws": 0, "min_draws": 4},
    "ensembel": {},
}


def test_all_mistakes_are_told_at_once() -> None:
    """Each once: what is misspelt is not missing, and what does not go together is not said of what is not valid."""
    with pytest.raises(InputError) as caught:
        from_document(SEVERAL)
    told = re.split(r"; \(\d+\) ", str(caught.value).removeprefix("9 mistakes: (1) "))
    assert [sentence.partition("; ")[0] for sentence in told] == [
        "[ensembel]: there is no such table (did you mean ensemble?)",
        "losses: there is no such key (did you mean loss?)",
        "[grid] n_clases: there is no such key (did you mean n_classes?)",
        "[sampling] sed (did you mean seed?), targets (did you mean target_rse?): there are no such keys",
        "name: 'a/b' is not valid",
        "layers: 'hidden' is not known",
        "[grid] aspect_ratio: 0.5 is not valid",
        "[grid] dim: 10.5 is not valid",
        "[sampling] max_draws: 0 is not valid",
    ]
    assert all(re.search("; (give|choose|the keys are|the tables are) ", sentence) for sentence in told)


def test_all_mistakes_of_an_ensemble_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        from_document(GOOD[Spec] | {"ensemble": {"init": "he", "weights": "w", "data_variance": -1, "last_gain": []}})
    told = re.split(r"; \(\d+\) ", str(caught.value).removeprefix("3 mistakes: (1) "))
    assert [sentence.split()[1] for sentence in told] == ["weights:", "data_variance:", "last_gain:"]


def test_of_very_many_mistakes_some_are_told() -> None:
    document = GOOD[Spec] | {f"key{k}": 1 for k in range(30_000)} | {f"table{k}": {} for k in range(30_000)}
    with pytest.raises(InputError, match=r"^30001 mistakes: \(1\) \[table0\]: .*; and 29991 more$") as caught:
        from_document(document)
    assert len(str(caught.value)) < 2000
    with pytest.raises(InputError, match=r"^key0, key1, .*, key9 and 29990 more: there are no such keys; the keys are"):
        from_document(GOOD[Spec] | {f"key{k}": 1 for k in range(30_000)})


def test_every_meaning_is_a_sentence() -> None:
    for cls in GOOD:
        for one in keys_of(cls):
            assert one.meaning.endswith("."), one.title


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_the_help_lists_the_keys_of_a_sweep(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    text = capsys.readouterr().out
    assert short_help() in text
    for one in keys_of(Spec):
        assert re.search(rf"^ +{one.name}{re.escape('*' * one.required)} ", text, re.MULTILINE), one.title
    assert all(len(line) <= 100 for line in short_help().splitlines())


def test_the_example_has_every_key_with_a_comment() -> None:
    text = builtin()["example"]
    assert load("example").name == "example"
    assert len(load("example").points()) == 6
    for one in keys_of(Spec):
        assert one.name in (GOOD[Spec][one.table] if one.table else GOOD[Spec]), one.title
        assert re.search(rf"^{one.name} = .*  # \w?", text, re.MULTILINE), one.title
    defaults = {one.title: one.default for one in keys_of(Spec) if one.table in ("ensemble", "sampling")}
    for title, default in defaults.items():
        line = re.search(rf"^{title.partition('] ')[2]} = .*$", text, re.MULTILINE)
        assert line
        assert f"= {default} " in line[0] or f"(default: {default})" in line[0], title


def test_the_training_spec_that_comes_with_rmtsim_shows_every_key() -> None:
    for one in keys_of(TrainingSpec):
        assert re.search(rf"\b{one.name} = ", builtin()["training"]), one.title


def test_no_figure_runs_the_example() -> None:
    used = {name for figure in all_figures().values() for name in (*figure.specs, *figure.full_specs)}
    assert "figure8" in used
    assert "example" not in used


@dataclasses.dataclass(frozen=True)
class Law:
    """A law, as another room would declare it.

    Parameters
    ----------
    shape
        Which law
        it is.
    scale
        Its ``scale``.

    Raises
    ------
    InputError
        If the scale is not positive.
    """

    shape: Literal["round", "square"] = "round"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise InputError(f"scale: {self.scale} is not valid; give a positive number")

    def document(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@attrs.frozen(kw_only=True)
class Toy:
    """A spec with a key of each kind."""

    sizes: tuple[int, ...] = key(list_of(whole(1, 9)), "Sizes.", table="grid")
    fast: bool = key(flag(), "Whether it is fast.", table="how", default=False)
    law: Law = table(Law, Law(), omit_default=True)


def test_a_key_is_declared_in_one_place() -> None:
    """All else follows, also for the fields of a class of another room."""
    assert [(one.title, one.values, one.default, one.meaning) for one in keys_of(Toy)] == [
        ("[grid] sizes", "a list of whole numbers from 1 to 9", "", "Sizes."),
        ("[how] fast", "`true` or `false`", "false", "Whether it is fast."),
        ("[law] shape", "`round` or `square`", '"round"', "Which law it is."),
        ("[law] scale", "a number", "1.0", "Its `scale`."),
    ]
    document = {"grid": {"sizes": [1, 2]}, "how": {"fast": True}, "law": {"shape": "square", "scale": 2.0}}
    assert document_of(parse(Toy, document)) == document
    assert parse(Toy, document) == Toy(sizes=[1, 2], fast=True, law=Law("square", 2.0))
    assert document_of(Toy(sizes=[3])) == {"grid": {"sizes": [3]}, "how": {"fast": False}}
    assert document_of(Toy(sizes=[3]), defaults=False) == {"grid": {"sizes": [3]}}
    assert document_of(Toy(sizes=[3]), defaults=False, given={"[how] fast"}) == document_of(Toy(sizes=[3]))
    with pytest.raises(InputError, match=r"\[law\] scale: -1 is not valid; give a positive number"):
        parse(Toy, {"grid": {"sizes": [1]}, "law": {"scale": -1}})
    with pytest.raises(InputError, match=r"\[law\] size: there is no such key; the keys are shape, scale"):
        parse(Toy, {"grid": {"sizes": [1]}, "law": {"size": 1}})
