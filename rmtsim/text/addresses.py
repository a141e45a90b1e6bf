"""Addresses such as ``s3://key:secret@bucket/prefix?region=eu-west-1``, and the text that may be shown of them.

Only parts that are known to be harmless are shown. The user's part, options that are not known, and whatever cannot be
distinguished from them are replaced by ``***``.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote, unquote_plus

__all__ = ["Address", "discreet", "shown"]

_HIDDEN = "***"

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*"
_HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"
_SERVER = rf"(?:{_HOST})(?::\d{{1,5}})?"

#: Schemes whose addresses begin with a bucket, which has no port.
_BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory")

#: Options whose values are shown if they have this form.
_HARMLESS = {
    "region": r"[a-z0-9-]+",
    "scheme": r"https?",
    "endpoint_override": rf"(?:https?://)?{_SERVER}/?",
    "default_bucket_location": r"[A-Za-z0-9-]+",
    **dict.fromkeys(("allow_bucket_creation", "anonymous", "force_virtual_addressing"), r"true|false"),
    **dict.fromkeys(("connect_timeout", "request_timeout", "retry_limit_seconds", "replication"), r"[0-9.]{1,8}"),
}

#: Known options whose values are secret.
_SECRET = ("access_key", "secret_key", "session_token")

#: Options in a path, where a question mark was forgotten, escaped or mistaken.
_MEANT_AS_OPTIONS = re.compile(
    rf"([;&]|%3f|%3b|%26|%23)[^/]*?(=|%3d).*|(?<![^/])({'|'.join(_SECRET)})(=|%3d).*", re.IGNORECASE | re.DOTALL
)

#: An address within a text: what stands in quotes, or else goes up to a space, less what ends a sentence. It begins
#: with a whole word, so that a long word is looked at once.
_WORD = r"(?<![A-Za-z0-9+.-])[A-Za-z0-9+.-]+"
_WITHIN = re.compile(
    rf"""(?P<quote>['"`])(?P<quoted>{_WORD}:/.{{1,4096}}?)(?P=quote)(?=[\s.,;:)\]}}]|$)"""
    rf"""|{_WORD}:/\S*[^\s.,;:)\]}}'"`]""",
    re.DOTALL,
)

#: Separators of the parts of an address.
_PARTS = re.compile(r"[/?:@&=#]+")

#: Shorter parts of an address would be found everywhere.
_TELLING = 3


class Address:
    """An address whose text and representation do not show its secrets.

    Parameters
    ----------
    whole
        The address, secrets included.
    """

    __slots__ = ("_whole",)

    def __init__(self, whole: str) -> None:
        self._whole = whole

    @property
    def shown(self) -> str:
        """The address without its secrets."""
        return shown(self._whole)

    def reveal(self) -> str:
        """Return the whole address: for what connects to it, and for nothing that is printed, logged or written."""
        return self._whole

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and other._whole == self._whole

    def __hash__(self) -> int:
        return hash(self._whole)

    def discreet(self, text: str) -> str:
        """Return a text, such as a library's message, without the hidden parts of this address."""
        for part in self._hidden():
            text = text.replace(part, _HIDDEN)
        return discreet(text)

    def _hidden(self) -> list[str]:
        """Return the hidden parts of the address, in every way to write them, the longest first."""
        parts = {*_PARTS.split(self._whole)} - {*_PARTS.split(self.shown), *_HARMLESS, *_SECRET}
        ways = {way(part) for part in parts for way in (str, unquote, unquote_plus, quote, quote_plus)}
        return sorted((part for part in ways if len(part) >= _TELLING), key=len, reverse=True)


def shown(address: str) -> str:
    """Return an address without its secrets.

    Examples
    --------
    >>> shown("s3://AKIAEX:wJalr/K7MDENG@bucket/prefix?region=eu-west-1&session_token=abc")
    's3://***@bucket/prefix?region=eu-west-1&***'
    >>> shown("memory://place?token=abc")
    'memory://place?***'
    """
    scheme, slashes, rest = re.split(r"(:/{1,2})", address, maxsplit=1) if ":/" in address else ("", "", "")
    if not slashes or (slashes == ":/" and not re.search("[@=]", rest)):  # a path may have a colon
        return address
    known = re.fullmatch(_SCHEME, scheme) is not None
    scheme = scheme if known else _HIDDEN
    place, _, query = rest.partition("?")
    options = [option for option in query.split("&") if option]
    names = {option.partition("=")[0] for option in options}
    if not known or "#" in rest or ("@" in query and not names <= {*_HARMLESS, *_SECRET}):
        return f"{scheme}{slashes}{_HIDDEN}"  # where the user's part ends is not known
    place = _shown_place(scheme, place)
    harmless = [option for option in options if _is_harmless(option)]
    if len(harmless) < len(options):
        harmless.append(_HIDDEN)
    return f"{scheme}{slashes}{place}{'?' if harmless else ''}{'&'.join(harmless)}"


def _shown_place(scheme: str, place: str) -> str:
    _, at, place = place.rpartition("@")
    server, slash, path = place.partition("/")
    form = _HOST if scheme.lower() in _BUCKETS else _SERVER
    if server and server != _HIDDEN and not re.fullmatch(form, server):
        return _HIDDEN
    if not server and ":" in path and scheme.lower() != "file":
        return _HIDDEN
    return f"{_HIDDEN if at else ''}{at}{server}{slash}{_MEANT_AS_OPTIONS.sub(_HIDDEN, path)}"


def _is_harmless(option: str) -> bool:
    name, _, value = option.partition("=")
    return name in _HARMLESS and re.fullmatch(_HARMLESS[name], unquote(value)) is not None


def discreet(text: str) -> str:
    """Return a text in which addresses are shown without their secrets.

    Examples
    --------
    >>> discreet("cannot reach 'https://user:pw@host/x?token=abc'; try again")
    "cannot reach 'https://***@host/x?***'; try again"
    """
    return _WITHIN.sub(_shown_within, text)


def _shown_within(found: re.Match[str]) -> str:
    quote = found["quote"]
    return f"{quote}{shown(found['quoted'])}{quote}" if quote else shown(found[0])
