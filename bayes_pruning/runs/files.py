"""Write files that outlive kills, full disks and power cuts: they are replaced whole, or grow by whole lines."""

import csv
import errno
import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from itertools import takewhile
from pathlib import Path

from bayes_pruning.config.errors import UserError

OTHER_FILES = 64  # that a process has open beside its run folders, at most: libraries, data, pipes, a file in passing


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step. Raise OSError, and leave what was there, if it can not be written.

    Whenever the process is killed or the power fails, the old file or the new one is there, whole: the new one is on
    the disk before it takes the name. Only a kill can leave its `.part` behind.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb", buffering=0) as file:
            _write_all(file, data)
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file atomically, and the folders above it. Raise UserError if that can not be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise UserError(f"{path} can not be written ({error.strerror}).") from error


class LineFile(FileIO):
    """Open a text file that grows by whole lines. Use as a context manager; methods raise OSError.

    A line that can not be written whole, for instance because the disk is full, is taken back, so that what was there
    stays readable. Only a kill can leave a torn line; `bring_in_line` drops it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "a+")  # without a buffer, which would be written once more on closing

    def append(self, lines: str) -> None:
        """Add whole lines at the end."""
        size = os.fstat(self.fileno()).st_size
        try:
            _write_all(self, lines.encode())
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self.fileno(), size)
            raise

    def bring_in_line(self, text: str) -> None:
        """Make the file `text`: what differs or is torn goes, what is missing is added, the lines before it stay."""
        self.seek(0)
        written, wanted = self.read(), text.encode()
        pairs = zip(written.splitlines(keepends=True), wanted.splitlines(keepends=True), strict=False)
        right = sum(len(new) for _, new in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if len(written) > right:
            os.ftruncate(self.fileno(), right)
        self.append(wanted[right:].decode())

    def check_in_place(self) -> None:
        """Raise OSError if the file was removed, or another one has taken its name."""
        if not os.path.samestat(os.fstat(self.fileno()), os.stat(self.name)):
            raise OSError(errno.ESTALE, "it was removed or replaced by another process", str(self.name))

    def close(self) -> None:
        """Close it; this releases a lock."""
        with suppress(OSError):  # every write before this was checked
            super().close()


def _write_all(file: FileIO, data: bytes) -> None:
    """Write all of `data`: a single write may take only a part of it, and says so only by its count."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def most_open_folders() -> int:
    """Return how many run folders may be open at once: each is one open file, and the system limits a process's.

    Raise the process's own limit (often 1,024) as far as the system lets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # macOS refuses some limits that it names
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return 2**31 if soft == resource.RLIM_INFINITY else max(1, soft - OTHER_FILES)


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[list[str], str]]:
    """Return the cells of each row of a CSV file, and its file and line, for messages.

    Raise UserError, naming file and line, for a file that can not be read, other columns, or a row of another length.
    """
    try:
        with path.open(newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} can not be read ({error}).") from error
    if not lines or lines[0] != list(columns):
        raise UserError(f"{path}, line 1: the columns are not those of {path.name} ({', '.join(columns)}).")
    rows = [(cells, f"{path}, line {number}") for number, cells in enumerate(lines[1:], start=2)]
    for cells, where in rows:
        if len(cells) != len(columns):
            raise UserError(f"{where}: {len(cells)} values where {len(columns)} are expected.")
    return rows
