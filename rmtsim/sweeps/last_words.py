"""The reason why a Ray worker died, in a line."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from rmtsim.sweeps.jobs import error_line

#: Lines of a worker's log that Ray writes for itself.
_RAYS_OWN = re.compile(r":(job_id|actor_name|task_name):|\[[0-9-]+ [0-9:,]+ [A-Z] |\*\*\* |\s*$")


def last_words(error: BaseException) -> str:
    """Return why a worker died: its error, the last line of its log if that is on this machine, or Ray's own words."""
    text = str(error)
    lines = [error_line(RuntimeError(line)) for line in text.splitlines() if line.strip()]
    if errors := [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]:
        advice = "; install rmtsim on all nodes, or submit the checkout with --working-dir"
        return errors[-1] + (advice if "No module named" in errors[-1] else "")
    found = re.search(r"^\s*pid: (\d+)$", text, re.MULTILINE)
    if found and (written := _written(found[1])):
        return f"the last one with the words: {written}"
    detail = re.search(r"exit detail: ([^.]*\.[^.]*\.)", text)
    return " ".join((detail[1] if detail else (lines or [type(error).__name__])[-1]).split()).rstrip(".")


def raylet_words() -> str:
    """Return the last line that workers of this machine wrote to stderr before they had logs of their own."""
    return _last_line("raylet.err")


def _written(pid: str) -> str:
    """Return the last line that a process of this machine wrote to stderr."""
    return _last_line(f"worker-*-{pid}.err")


def _last_line(logs: str) -> str:
    node = import_module("ray._private.worker")._global_node
    if node is None:
        return ""
    for path in Path(node.get_session_dir_path(), "logs").glob(logs):
        lines = path.read_text("utf-8", "replace").splitlines()
        said = [line.strip() for line in lines if not _RAYS_OWN.match(line)]
        if said:
            return said[-1][:300]
    return ""
