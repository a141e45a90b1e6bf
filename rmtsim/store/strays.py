"""Files of others that turn up in any folder: what desktops, file systems and editors leave is no part of a store."""

from __future__ import annotations

import re

#: Names of files and folders, without regard to case.
_NAMES = re.compile(
    r"""
    \.ds_store | \._.* | \.apdisk | \.spotlight-v100 | \.fseventsd | \.temporaryitems | \.trashes  # macOS
    | thumbs\.db(:encryptable)? | ehthumbs(_vista)?\.db | desktop\.ini | \$recycle\.bin | system\ volume\ information
    | \.directory | \.trash-\d+ | \.hidden | \.goutputstream-.* | \.~lock\..*\#  # desktops of Linux
    | \.nfs[0-9a-f]+ | \.fuse_hidden.* | \.smbdelete.* | \.snapshots? | \.panfs.* | lost\+found  # file systems
    | @eadir | \#recycle | \#snapshot | .*@synoeastream | .*@synoresource  # network storage
    | .*~ | \..*\.sw[a-z] | \#.*\# | \.\#.* | 4913 | \.ipynb_checkpoints  # editors
    | \.gitignore | \.gitkeep | \.gitattributes | \.stfolder | \.dropbox.* | \.sync.*  # what copies folders about
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def is_stray(name: str) -> bool:
    """Whether a file or a folder of this name is of a desktop, a file system or an editor.

    Nothing that rmtsim writes has such a name. Readers pass it by, and it is no damage.

    Examples
    --------
    >>> from rmtsim.store.strays import is_stray
    >>> [is_stray(name) for name in (".nfs000000000a3f", "Thumbs.db", "fig8.json~", "fig8.json")]
    [True, True, True, False]
    """
    return _NAMES.fullmatch(name) is not None
