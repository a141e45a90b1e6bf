"""Short formulas of LaTeX: those of sentences of the paper as HTML, and those of labels as plain text."""

from __future__ import annotations

import re

from rmtsim.pages.elements import Content, Markup, element, markup

#: Commands without an argument.
_SYMBOLS = {"infty": "∞", "to": "→", "cdot": "·", "Lambda": "Λ", "sim": "~", "times": "×", "le": "≤", "sqrt": "√"}

#: Letters of \mathcal, and those that carry a tilde.
_SCRIPT = {"O": "𝒪"}

_TOKEN = re.compile(
    r"\\(mathcal|mathrm|tilde)\{([^{}]*)\}|\\([A-Za-z]+)|([_^])(\{|.)|([{}])|([A-Za-z])|(\s+|.)", re.DOTALL
)


def with_formulas(text: str) -> list[Content]:
    r"""Return text whose formulas stand between dollars as content: letters in italics, indices and powers in place.

    A formula that is not understood stays as it is.

    Examples
    --------
    >>> from rmtsim.pages.elements import markup
    >>> markup(with_formulas(r"at the rate of $\mathcal{O}(1/C^2)$ for $H_{ww}$"))
    'at the rate of 𝒪(1/<i>C</i><sup>2</sup>) for <i>H</i><sub><i>w</i><i>w</i></sub>'
    >>> markup(with_formulas(r"$\frac{1}{2}$"))
    '$\\frac{1}{2}$'
    """
    parts = text.split("$")
    if len(parts) % 2 == 0:
        return [text]
    return [_formula(part) if place % 2 else part for place, part in enumerate(parts)]


def _formula(tex: str) -> Markup:
    """Return one formula."""
    found, rest = _group(tex)
    return markup(f"${tex}$") if found is None or rest else found


def _group(tex: str, closing: str = "") -> tuple[Markup | None, str]:
    """Return the markup of a formula up to a closing brace, None where it is not understood; and what follows."""
    made: list[Content] = []
    while tex:
        match = _TOKEN.match(tex)
        assert match
        font, inner, command, shift, opened, brace, letter, other = match.groups()
        tex = tex[match.end() :]
        if brace == "}":
            return (markup(made) if closing else None), tex
        if brace:
            inside, tex = _group(tex, "}")
            if inside is None:
                return None, tex
            made.append(inside)
        elif font:
            looks = {"mathcal": _SCRIPT.get(inner, inner), "mathrm": inner}
            made.append(looks.get(font) or element("i", f"{inner}\u0303"))
        elif command:
            if command not in _SYMBOLS:
                return None, tex
            made.append(_SYMBOLS[command])
        elif shift:
            inside, tex = _group(tex, "}") if opened == "{" else (_formula(opened), tex)
            if inside is None:
                return None, tex
            made.append(element("sub" if shift == "_" else "sup", inside))
        else:
            made.append(element("i", letter) if letter else other)
    return (None if closing else markup(made)), tex


#: Commands of labels, beside `_SYMBOLS`, in plain text.
_PLAIN = {
    "Vert": "‖",
    "langle": "⟨",
    "rangle": "⟩",
    "|": "‖",
    ",": " ",
    ";": " ",
    ":": " ",
    "!": "",
    "Delta": "Δ",
    "pm": "±",
    "approx": "≈",
    "ge": "≥",
    "geq": "≥",
    "leq": "≤",
}

_RAISED = str.maketrans("−-+0123456789", "⁻⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain_text(label: str) -> str:
    r"""Return a label of matplotlib, whose formulas stand between dollars, as plain text.

    Examples
    --------
    >>> plain_text(r"$\mathbb{E}\,\Vert H_{w_i w_j} \Vert_F^2\,/\,d$ of 5 \$")
    'E ‖H_{w_i w_j}‖_F² / d of 5 $'
    >>> plain_text(r"$\mathbb{E}\|H_{ij}\|^2$, $C^{-2}$, $d, N \to \infty$")
    'E‖H_ij‖², C⁻², d, N → ∞'
    """
    parts = re.split(r"(?<!\\)\$", label)
    if len(parts) % 2 == 0:
        return label
    shown = "".join(_plain(part) if place % 2 else part for place, part in enumerate(parts))
    return shown.replace(r"\$", "$")


def _plain(tex: str) -> str:
    """Return one formula of a label as plain text; what is not known stays as it is."""
    text = re.sub(r"\\(?:mathbb|mathcal|mathrm|mathbf|bar|hat)\{([^{}]*)\}", r"\1", tex)
    text = re.sub(r"\\tilde\{? ?(\w)\}?", "\\1\u0303", text)
    text = re.sub(r"\\([A-Za-z]+|[,;:!|])", lambda found: {**_SYMBOLS, **_PLAIN}.get(found[1], found[0]), text)
    text = re.sub(r"\^\{([-−+]?\d+)\}|\^(\d)", lambda found: (found[1] or found[2]).translate(_RAISED), text)
    text = re.sub(r"\^\{ *([^{}]*?) *\}", r"^(\1)", text)
    text = re.sub(r"_\{(\w+)\}", r"_\1", text)
    text = re.sub(r"‖ ([^‖]*?) ?‖", r"‖\1‖", text)
    return " ".join(text.split())
