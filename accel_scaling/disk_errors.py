"""What a full or forbidden disk means for whoever sits at the keyboard."""

from __future__ import annotations

import errno

# What the person can do something about; any other OSError is a mistake of ours.
_THEIRS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
_NO_TEMPORARY = "No usable temporary directory"  # how Python's tempfile begins


def disk_sentence(error: OSError) -> str | None:
    """Return the sentence for a folder that cannot be written; None where the error is about something else."""
    said = error.strerror or str(error)
    if error.errno not in _THEIRS and not said.startswith(_NO_TEMPORARY):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{said}; free some space there, or let HOME and TMPDIR name folders that you may write"
