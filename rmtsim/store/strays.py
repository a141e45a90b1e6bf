"""Stray files: those that desktops, file systems and editors leave in any folder, and that are not part of a store."""

from __future__ import annotations

import re

#: Names of stray files and folders, without regard to case.
_NAMES = re.compile(
    r"""
    # macOS
    \.ds_store | \._.* | \.apple(double|db|desktop) | \.apdisk | \.spotlight-v100 | \.fseventsd | \.temporaryitems
    | \.trashes | \.localized | \.volumeicon\.icns | icon\r | \.documentrevisions-v100 | \.com\.apple\..*
    | network\ trash\ folder | temporary\ items
    # Windows
    | thumbs\.db(:.*)? | ehthumbs(_vista)?\.db | desktop\.ini | \$recycle\.bin | system\ volume\ information | ~\$.*
    # desktops of Linux
    | \.directory | \.trash(-\d+)? | \.hidden | \.thumbnails | \.goutputstream-.* | \.~lock\..*\#
    # file systems
    | \.nfs[0-9a-f]+ | \.__afs.* | \.fuse_hidden.* | \.smb.* | \.cifs.* | \.panfs.* | \.glusterfs | \.zfs
    | [.~]snapshots? | lost\+found
    # network storage
    | @eadir | @tmp | @recycle | @recently-snapshot | @sharebin | \.@__.* | \#recycle | \#snapshot
    | .*@syno(eastream|resource)
    # editors
    | .*~ | \..*\.sw[a-z] | \..*\.kate-swp | \#.*\# | \.\#.* | 4913 | .*___jb_(tmp|old)___ | \.ipynb_checkpoints
    # programs that copy folders
    | \.git(ignore|keep|attributes) | \.st(folder|ignore|versions) | \.dropbox.* | \.sync.*
    | \..*\.(parquet|json)\.[a-z0-9]{6}
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def is_stray(name: str) -> bool:
    """Return whether a file or folder of this name belongs to a desktop, a file system or an editor.

    Nothing that rmtsim writes has such a name. Readers skip it, and it is not damage.

    Examples
    --------
    >>> from rmtsim.store.strays import is_stray
    >>> [is_stray(name) for name in (".nfs000000000a3f", "Thumbs.db", "fig8.json~", "fig8.json")]
    [True, True, True, False]
    """
    return _NAMES.fullmatch(name) is not None
