"""Failures of file systems and servers: their reason, whether they are transient, and advice on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from rmtsim.errors import InputError, RunError, short_of_threads
from rmtsim.files.regular_files import NotRegularError
from rmtsim.text.addresses import Address

#: Exceptions that file systems raise.
FAILURES = (OSError, pa.ArrowException, NotImplementedError)

#: Meanings of error codes of AWS.
_MEANING = {
    "NETWORK_CONNECTION": "no server answers",
    "ACCESS_DENIED": "permission denied",
    "INVALID_ACCESS_KEY_ID": "permission denied: the access key is not known",
    "SIGNATURE_DOES_NOT_MATCH": "permission denied: the secret key does not fit",
    "NO_SUCH_BUCKET": "there is no such bucket; create it, or add allow_bucket_creation=true to the address",
}

#: Errors of servers that may pass: no answer, too many requests, an internal error.
_TRANSIENT = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|REQUEST_TIMEOUT|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|"
    r"HTTP status (408|429|5\d\d)|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|[Tt]imed? ?out|curlCode"
)


#: Patterns in the messages of libraries about servers, and their meanings; the first match counts.
_IN_WORDS = [
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"libjvm|libhdfs|JAVA_HOME|HADOOP", "it takes Java and the Hadoop client, which are not installed here"),
        (r"Name or service not known|resolution|resolve|getaddrinfo|nodename", "there is no such host"),
        (r"timed? ?out|DEADLINE", "no answer in time"),
        (r"credential|OAuth|authenti|authori[sz]|forbidden|permission|denied|\b40[13]\b", "permission denied"),
        (r"refused|NewConnection|Max retries|UNAVAILABLE|unreachable|connect|curlCode", "no server answers"),
        (r"\b404\b|not ?found|does not exist|no such", "there is no such place"),
        (r"^(Type|Value|Attribute|Index|Key)Error", "it is not a valid address of a place that a store can be in"),
    )
]


class ServerError(OSError):
    """A server, or the library that speaks with it, refused; its message is not shown to users."""


class StoreError(RunError):
    """The store cannot be read or written; the message is one sentence that names the file."""


class TornError(StoreError):
    """A file whose content is not what was written."""


class UnreadableError(StoreError):
    """A file that the system or a server does not hand out, so that nothing is known of its content."""


class AbsentError(UnreadableError):
    """A file that does not exist."""


class ForeignError(StoreError):
    """A file that is not a shard, that this version does not read, or that was written under another name."""


def transient(error: BaseException) -> bool:
    """Return whether a StoreError comes from a failure that may pass."""
    return error.__cause__ is not None and may_pass(error.__cause__)


def may_pass(error: BaseException) -> bool:
    """Return whether a failure of the system or a server may pass."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, FAILURES) and bool(_TRANSIENT.search(str(error)))


def advice(error: BaseException) -> str:
    """Return advice on a file that cannot be read."""
    if isinstance(error, NotRegularError):
        return "move it elsewhere"
    if short_of_threads(error):
        return "raise the limit"
    denied = isinstance(error, PermissionError) or "permission denied" in refusal(error)
    return "make it readable" if denied else "try again"


@contextmanager
def hiding_secrets(address: Address) -> Iterator[None]:
    """Replace errors of libraries, which may quote an address, by errors of the system without its secrets."""
    try:
        yield
    except (InputError, RunError, MemoryError):
        raise
    except Exception as error:
        raise _without_secrets(error, address) from None


def _without_secrets(error: Exception, address: Address) -> OSError:
    text = address.discreet(str(error))
    if isinstance(error, OSError):
        kinds = (kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        kind: type[OSError] = next(kinds)
        if error.errno is not None and error.strerror:
            return kind(error.errno, address.discreet(error.strerror))
        return ServerError(text) if kind is OSError else kind(text)
    return ServerError(text if isinstance(error, FAILURES) else f"{type(error).__name__}: {text}")


#: Meanings of errors of the system that have no message.
_OF_KIND: dict[type[OSError], str] = {
    ConnectionError: "no server answers",
    TimeoutError: "no answer in time",
    PermissionError: "permission denied",
    FileNotFoundError: "there is no such place",
}


def refusal(error: BaseException) -> str:
    """Return in a few words why a file system refused."""
    text = str(error)
    if short_of_threads(error):
        return "the system gives no more threads, ulimit -u"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if found := re.search(r"AWS Error (\w+) during", text):
        code = re.search(r"HTTP status (\d+)", text)
        name = "ACCESS_DENIED" if code and code[1] in ("401", "403") else found[1]
        return _MEANING.get(name, text.partition("operation")[2].lstrip(": ").partition(" (Request")[0] or name)
    for kind, words in _OF_KIND.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, ServerError):
        return next((words for pattern, words in _IN_WORDS if pattern.search(text)), "its server or library refused")
    return text.splitlines()[0].partition(". ")[0][:200] if text else type(error).__name__
