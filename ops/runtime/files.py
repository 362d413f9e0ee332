"""Make files and folders that nobody else on the machine may read or replace, whatever the umask is.

Meant for folders of our own: what lies above them is not looked at. A symbolic link, a file of another account or one
with a second name, put where one of ours belongs, is refused and never followed.
"""

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import IO

_NO_FILE_OF_OURS = (errno.ELOOP, errno.ENXIO, errno.EISDIR)
"""What opening a symbolic link, a pipe without a reader, and a folder fails with."""


class UnsafePathError(OSError):
    """Something that is not ours is where a file or folder of ours belongs; the message says what to do."""


def private_folder(path: Path, group: int | None = None) -> None:
    """Make a folder that only this account may use: mode 0700, or 0710 where members of ``group`` may pass through.

    One that exists is given that mode. Raises UnsafePathError where it is no folder, or somebody else's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise UnsafePathError(
                f"{path} is not a folder of this account: remove it, or start as the account it belongs to"
            ) from None
    if group is not None:
        os.chown(path, -1, group, follow_symlinks=False)
    path.chmod(0o700 if group is None else 0o710)


def append_private(path: Path) -> IO[bytes]:
    """Open a log to append to, made if there is none; mode 0600. Raises UnsafePathError."""
    return os.fdopen(_open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


def read_private(path: Path) -> bytes | None:
    """Return the content of a file of this account alone; None where there is none. Raises UnsafePathError."""
    try:
        number = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(number, "rb") as file:
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one of mode 0600, atomically: a reader sees the old or the new one."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _open(path: Path, flags: int) -> int:
    try:
        number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in _NO_FILE_OF_OURS:
            raise _unsafe(path) from None
        raise
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
        os.close(number)
        raise _unsafe(path)
    os.fchmod(number, 0o600)
    return number


def _unsafe(path: Path) -> UnsafePathError:
    return UnsafePathError(f"{path} is not a file of this account alone: remove it, and start again")
