"""The pages of results on the stopping rule, and the rules on the numbers that choose their sentences."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from scipy.special import ndtr

from benchmarks import environment
from benchmarks.report import Part, Row, Table, markdown
from docs.generate.markdown import prose

#: What the stopping rule promises of every point that does not call its tail too heavy in most samples: the share of
#: 95 % intervals that hold the truth, in percent; the mean z; and the share of |z| beyond 3.5, in percent.
COVERAGE, MEAN_Z, FAR = (93.0, 97.0), 0.15, 0.5

#: Names of rules: one that believes every standard error, that of rmtsim, and one that waits for a light tail.
PLAIN, RULE = "stops at the target", "rmtsim's rule"
WAITING = f"{RULE}, and waits until no tail is too heavy"

#: Points and laws at which the page shows all rules: those that most samples call heavy.
_HARDEST = 2

#: Levels of intervals, in percent, and how many times as often one may miss the truth that does so as often as it says.
_LEVELS, _SAME = (95.0, 99.9), 1.1

#: What is said of a point or law, by what its samples do.
_KEPT, _HEAVY, _MISSED = "kept", "tail too heavy", "missed"


def heavy(row: Row) -> bool:
    """Whether most samples of a rule say that their tail is too heavy."""
    return bool(row["heavy_percent"] > 50)


def judged(row: Row) -> str:
    """Return what a rule does with its promise at a point or law."""
    low, high = COVERAGE
    if low <= row["coverage_percent"] <= high and abs(row["mean_z"]) <= MEAN_Z and row["far_percent"] <= FAR:
        return _KEPT
    return _HEAVY if heavy(row) else _MISSED


def page(part: Part, no_skewness: Collection[str]) -> str:
    """Return the page; every number in it is of the part.

    Parameters
    ----------
    no_skewness
        Which laws have no third moment.
    """
    first, costs, few, *tables, _ = part.tables
    [sizes] = first.rows
    rules = {table.title: {row["rule"]: row for row in table.rows} for table in tables}
    of_run = environment.of_run("stopping", sizes["processor s"])
    return f"""# What the stopping rule keeps

{prose(of_run)}

How often are the error bars of [a point that has enough draws](../explanation/stopping.md) right?

{prose(f"**{_answer(rules)}**")}

{prose(_PROMISE)}

## At points and laws

{prose(_about(sizes))}

{_kept_table(rules)}

{prose(" ".join([_COLUMNS, *_no_skewness(rules, no_skewness)]))}

## What a target costs

{prose(_costs_words(sizes))}

{markdown(Table("", [{"target, %": row["target_percent"], "cost": row["cost"]} for row in costs.rows]))}

## Few draws

{prose(_few_words(few.rows))}

{_few_table(few.rows)}

## Other rules

{prose(_others_words(rules))}

{_others_table(rules)}

{prose(_waiting_answer(rules))}

[All tables](numbers/stopping.md) have every rule at every point and law, and what their tails look like.
"""


def numbers(part: Part) -> str:
    """Return the page of all tables."""
    tables = "\n\n".join(f"## {table.title}\n\n{markdown(table)}" for table in part.tables[3:])
    return f"""# What the stopping rule keeps: all tables

*Written by `python -m benchmarks --only stopping`. [What they say](../stopping.md).*

{prose(part.about)}

{tables}
"""


_PROMISE = f"""\
The promise has three parts: {COVERAGE[0]:g} to {COVERAGE[1]:g} % of the intervals with the level 95 % hold the truth,
the mean z-score is within {MEAN_Z:g} of 0, and at most {FAR:g} % of all z-scores are beyond 3.5
(by chance it is {200 * ndtr(-3.5):.1g} %). Nothing is promised where most samples say that their tail is too heavy."""

_COLUMNS = f"""\
*Coverage* is the share of the 95 % intervals that hold the truth. *Plain* is that of a rule which believes every
standard error: it {PLAIN}, and its interval is the mean ± 1.96 standard errors. All other columns are of
{RULE} and its error bars. Its z-score is that of the normal distribution with the same probability. *Heavy* is
the share of samples whose tail is called too heavy where they stop. *Cost* is the number of draws over that of the
plain rule."""

_Rules = dict[str, dict[str, Row]]


def _answer(rules: _Rules) -> str:
    """Return the sentences on the promise."""
    found: dict[str, list[str]] = {_KEPT: [], _HEAVY: [], _MISSED: []}
    for name, of in rules.items():
        found[judged(of[RULE])].append(name)
    words = f"The promise is kept at {len(found[_KEPT])} of {len(rules)} points and laws"
    if found[_KEPT]:
        coverage = [rules[name][RULE]["coverage_percent"] for name in found[_KEPT]]
        ends = " to ".join(dict.fromkeys(f"{end:.1f}" for end in (min(coverage), max(coverage))))
        words += f": {ends} % of the 95 % intervals hold the truth"
    words += "."
    if found[_HEAVY]:
        words += f" At {len(found[_HEAVY])} more, most samples say that their tail is too heavy."
    if found[_MISSED]:
        words += f" It is missed at {', '.join(found[_MISSED])}."
    return words


def _about(sizes: Row) -> str:
    samples = sizes["samples"]
    return (
        f"The run takes {samples:,} samples of draws from a pool of {sizes['pool']:,} draws of a point, whose mean is "
        "the truth, and as many from pools of ten times as many values of a law. Points are named by C, d, N and, with "
        f"a hidden layer, m. `target_rse` is {sizes['target_rse']:g}, `min_draws` is {sizes['min_draws']}, and "
        f"`max_draws` is {sizes['max_draws']:,}. Of all layers and quantities the worst is shown. One standard error "
        f"of a coverage is {100 * (0.05 * 0.95 / samples) ** 0.5:.1f} points, and of a mean z {samples**-0.5:.2f}."
    )


def _kept_table(rules: _Rules) -> str:
    rows = []
    for name, of in rules.items():
        row = of[RULE]
        rows.append(
            {
                "point or law": name,
                "plain, %": f"{of[PLAIN]['plain_coverage_percent']:.1f}",
                "coverage, %": f"{row['coverage_percent']:.1f}",
                "mean z": f"{row['mean_z']:.2f}".replace("-", "−"),
                "beyond 3.5, %": f"{row['far_percent']:.1f}",
                "heavy, %": f"{row['heavy_percent']:.0f}",
                "cost": f"{row['cost']:.1f}",
                "promise": judged(row),
            }
        )
    return markdown(Table("", rows))


def _no_skewness(rules: _Rules, names: Collection[str]) -> list[str]:
    """Return the sentence on laws at which the promise is missed for want of a third moment, if there are any."""
    missed = [name for name, of in rules.items() if name in names and judged(of[RULE]) == _MISSED]
    if not missed:
        return []
    return [
        f"The promise ends at {', '.join(missed)}: there is no third moment, and in most samples the tail has not "
        "shown when the draws look precise."
    ]


def _costs_words(sizes: Row) -> str:
    return (
        f"The cost of a target is the number of draws of {RULE} over that of the plain rule. It is computed, as the "
        f"mean over points whose draws have a standard deviation of {sizes['least spread']:g} to "
        f"{sizes['largest spread']:g} times their mean, evenly spread on a logarithmic scale, and whose relative "
        "standard error after n draws is that number over √n."
    )


def _few_words(rows: Sequence[Row]) -> str:
    """Return the sentences on intervals from few draws: how often they miss the truth, at the worst number of draws."""
    said = []
    for level in _LEVELS:
        times = max(row[f"beyond_{level:g}_percent"] for row in rows) / (100 - level)
        often = "as often" if times <= _SAME else f"up to {times:.1f} times as often"
        said.append(f"An interval of the level {level:g} % misses the truth {often} as its level says.")
    draws = f"{rows[0]['draws']} to {rows[-1]['draws']}"
    about = (
        f"The table has the share of intervals that miss the truth, in percent, from {draws} normal draws, of "
        f"{rows[0]['samples']:,} samples of each number."
    )
    return " ".join([about, *said])


def _few_table(rows: Sequence[Row]) -> str:
    names = {f"beyond_{level:g}_percent": f"level {level:g} %: missed, %" for level in _LEVELS}
    shown = [{"draws": row["draws"]} | {name: f"{row[key]:.2g}" for key, name in names.items()} for row in rows]
    return markdown(Table("", shown))


def _hardest(rules: _Rules) -> list[str]:
    return sorted(rules, key=lambda name: -rules[name][RULE]["heavy_percent"])[:_HARDEST]


def _others_words(rules: _Rules) -> str:
    return (
        "This is what other rules keep where most samples have too heavy a tail, all with the error bars of "
        f"{RULE}: the coverage in percent, and the cost."
    )


def _others_table(rules: _Rules) -> str:
    names = _hardest(rules)
    rows = []
    for rule in rules[names[0]]:
        row: Row = {"rule": rule}
        for name in names:
            of = rules[name][rule]
            row |= {f"{name}: coverage, %": _decimal(of.get("coverage_percent")), f"{name}: cost": _decimal(of["cost"])}
        rows.append(row)
    return markdown(Table("", rows))


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _waiting_answer(rules: _Rules) -> str:
    """Return the sentences on the rule that waits for a light tail."""
    pairs = [(rules[name][WAITING], rules[name][RULE]) for name in _hardest(rules)]
    ended = " and ".join(f"{waiting['done_percent']:.0f} %" for waiting, _ in pairs)
    words = f"The rule that waits reaches the target in {ended} of the samples."
    chosen = [(waiting, rule) for waiting, rule in pairs if "mean_z" in waiting]
    if not chosen:
        return words
    z = " and ".join(f"{waiting['mean_z']:.1f}".replace("-", "−") for waiting, _ in chosen)
    words += f" The mean z of these is {z}"
    if all(waiting["mean_z"] < min(0, rule["mean_z"]) for waiting, rule in chosen):
        return f"{words}: it chooses means that are low, which is why nothing waits for a light tail."
    return f"{words}."
