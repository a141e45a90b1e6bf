"""What file systems and servers refuse: why, whether it may pass, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from rmtsim.errors import InputError, RunError, short_of_threads
from rmtsim.files.regular_files import NotRegularError
from rmtsim.text.addresses import Address

#: What file systems raise when they cannot do what they are asked to.
FAILURES = (OSError, pa.ArrowException, NotImplementedError)

#: What the errors of AWS mean.
_MEANING = {
    "NETWORK_CONNECTION": "no server answers",
    "ACCESS_DENIED": "permission denied",
    "INVALID_ACCESS_KEY_ID": "permission denied: the access key is not known",
    "SIGNATURE_DOES_NOT_MATCH": "permission denied: the secret key does not fit",
    "NO_SUCH_BUCKET": "there is no such bucket; create it, or add allow_bucket_creation=true to the address",
}

#: Errors of servers that may go away by themselves: no answer, too many requests, a fault of their own.
_TRANSIENT = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|REQUEST_TIMEOUT|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|"
    r"HTTP status (408|429|5\d\d)|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|[Tt]imed? ?out|curlCode"
)


#: What libraries say of servers, and what it means; the first that fits.
_IN_WORDS = [
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"libjvm|libhdfs|JAVA_HOME|HADOOP", "it takes Java and the Hadoop client, which are not installed here"),
        (r"Name or service not known|resolution|resolve|getaddrinfo|nodename", "there is no such host"),
        (r"timed? ?out|DEADLINE", "no answer in time"),
        (r"credential|OAuth|authenti|authori[sz]|forbidden|permission|denied|\b40[13]\b", "permission denied"),
        (r"refused|NewConnection|Max retries|UNAVAILABLE|unreachable|connect|curlCode", "no server answers"),
        (r"\b404\b|not ?found|does not exist|no such", "there is no such place"),
        (r"^(Type|Value|Attribute|Index|Key)Error", "it is no address of a place that a store can be in"),
    )
]


class ServerError(OSError):
    """A server, or the library that speaks with it, refused; its words are for us, and not to be shown."""


class StoreError(RunError):
    """The store cannot be read or written, told in one sentence that names the file."""


class TornError(StoreError):
    """A file whose content is not what was written."""


class UnreadableError(StoreError):
    """A file that the system or a server does not hand out: nothing is known of what is in it."""


class AbsentError(UnreadableError):
    """A file that is not there."""


class ForeignError(StoreError):
    """A file that is no shard, or none that this version reads, or not under the name that it was written with."""


def transient(error: BaseException) -> bool:
    """Whether a StoreError comes from a failure that may go away by itself."""
    cause = error.__cause__
    if isinstance(cause, ConnectionError | TimeoutError):
        return True
    return isinstance(cause, FAILURES) and bool(_TRANSIENT.search(str(cause)))


def advice(error: BaseException) -> str:
    """Say what to do about a file that cannot be read."""
    if isinstance(error, NotRegularError):
        return "move it elsewhere"
    if short_of_threads(error):
        return "raise the limit"
    denied = isinstance(error, PermissionError) or "permission denied" in reason(error)
    return "make it readable" if denied else "try again"


@contextmanager
def hiding_secrets(address: Address) -> Iterator[None]:
    """Have errors of libraries, which may quote an address, leave as errors of the system without its secrets."""
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


#: What errors of the system mean that come without its words.
_OF_KIND: dict[type[OSError], str] = {
    ConnectionError: "no server answers",
    TimeoutError: "no answer in time",
    PermissionError: "permission denied",
    FileNotFoundError: "there is no such place",
}


def reason(error: BaseException) -> str:
    """Say in a few words why a file system refused."""
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
