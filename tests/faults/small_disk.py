"""Mount a file system of a few hundred kilobytes that can be filled and made read-only, in a namespace of its own."""

import subprocess
from pathlib import Path

MOUNT = "mount -t tmpfs -o size={kilobytes}k disk /mnt && echo ready && exec cat"


class SmallDisk:
    """Hold a tmpfs that only a helper process has mounted; `path` reaches it through /proc. Use as a context manager.

    Raise OSError where the system gives no namespaces.
    """

    def __init__(self, kilobytes: int) -> None:
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT.format(kilobytes=kilobytes)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._holder = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
        if self._holder.stdout.readline() != b"ready\n":
            raise OSError(self._holder.stderr.read().decode())
        self.path = Path(f"/proc/{self._holder.pid}/root/mnt")

    def __enter__(self) -> "SmallDisk":
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.communicate()

    def fill(self) -> None:
        """Leave no free page."""
        with (self.path / "filler").open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        """Undo `fill`."""
        (self.path / "filler").unlink(missing_ok=True)

    def remount(self, mode: str) -> None:
        """Make it "ro" or "rw"."""
        inside = ["nsenter", "--target", str(self._holder.pid), "--user", "--mount", "--preserve-credentials"]
        subprocess.run([*inside, "mount", "-o", f"remount,{mode}", "/mnt"], check=True, capture_output=True)
