"""The original files of a data set: checked against their checksums, downloaded where they are missing.

They are checked before anything is unpickled, because unpickling runs whatever code the file holds.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bayes_pruning.config.errors import UserError


def fetch(dataset: Callable[..., Any], name: str, root: Path, folder: Path, checksums: Mapping[str, str]) -> None:
    """Make sure that the original files are in `folder`, by a download if they are not, one process at a time.

    `dataset` is torchvision's class, which downloads into the folder that it is given, and `name` is its name for
    people. `folder` is below `root`, the data_root. `checksums` has the MD5 of each file by the file's name.
    Raise UserError if a file is altered, or files are missing and can not be downloaded.
    """
    if _complete(folder, checksums):
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / "download.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _complete(folder, checksums):
                _download(dataset, root, name, folder, checksums)
    except UserError:
        raise
    except Exception as error:  # urllib, sockets, torchvision and the file system each raise their own
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise UserError(
            f"{name} is not complete in data_root={root} and could not be downloaded ({reason}): "
            f"put torchvision's files into data_root, get network, or use dataset=mnist_5k, which needs neither."
        ) from error
    _complete(folder, checksums)


def _download(dataset: Callable[..., Any], root: Path, name: str, folder: Path, checksums: Mapping[str, str]) -> None:
    """Unpack into a folder beside, then move: whenever it is killed, a file in `folder` is whole."""
    part = root / f"{name}.part"
    part_folder = part / folder.relative_to(root)
    shutil.rmtree(part, ignore_errors=True)
    part_folder.mkdir(parents=True)
    try:
        for archive in (*root.glob("*.tar.gz"), *folder.glob("*.gz")):  # those that are there already
            (part / archive.relative_to(root)).symlink_to(archive.resolve())
        dataset(part, download=True)
        folder.mkdir(parents=True, exist_ok=True)
        for file in checksums:
            os.replace(part_folder / file, folder / file)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _complete(folder: Path, checksums: Mapping[str, str]) -> bool:
    """Return whether every file is there; raise UserError if one of those that are there is not the original."""
    there = [path for path in (folder / name for name in checksums) if path.exists()]
    for path in there:
        try:
            actual = hashlib.md5(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(f"Data file {path} can not be read: {error.strerror}.") from error
        if actual != checksums[path.name]:
            raise UserError(
                f"Data file {path} is truncated or altered (MD5 {actual}, the original has {checksums[path.name]}): "
                f"remove it to have it downloaded again, or put the original in its place."
            )
    return len(there) == len(checksums)
