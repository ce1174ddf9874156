"""Small disks of our own, which may be harmed. Needs root."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

MEMORY = "size=12m,mode=700"
MIB = 16  # of a disk in a file


@contextmanager
def mounted(folder: Path, kind: str) -> Iterator[Path]:
    """``folder`` on a disk of its own: ``tmpfs`` of 12 MiB, or ``ext4`` of 16 MiB in a file."""
    if kind == "tmpfs":
        _mount(folder, "-t", "tmpfs", "-o", MEMORY, "tmpfs")
    else:
        mount_image(make_image(folder), folder)
    try:
        yield folder
    finally:
        unmount(folder)


def make_image(folder: Path) -> Path:
    """A file beside ``folder`` with an empty ext4 in it."""
    image = folder.with_suffix(".ext4")
    with image.open("wb") as file:
        file.truncate(MIB * 1024 * 1024)
    run("mkfs.ext4", "-q", "-m", "0", image)
    return image


def mount_image(image: Path, folder: Path) -> None:
    """As Debian mounts a disk: after an error it can only be read."""
    _mount(folder, "-o", "loop,errors=remount-ro", image)


def unmount(folder: Path) -> None:
    run("umount", folder)


def repair(image: Path) -> None:
    run("e2fsck", "-p", image, good=(0, 1))  # 1: there was something to mend


def make_read_only(folder: Path) -> None:
    """Have the kernel find an error on our ext4, after which nobody can write there any more.

    It refuses to be made so by ``mount`` while a file on it is open for writing.
    """
    device = run("findmnt", "--noheadings", "--output", "SOURCE", folder)
    name = Path(device.strip()).name
    assert name.startswith("loop"), f"{folder} is not on a disk of its own, but on {device}."
    Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("made by a test")
    assert not is_writable(folder), "The disk can still be written to."


def is_writable(folder: Path) -> bool:
    try:
        (folder / "probe").touch()
    except OSError:
        return False
    return True


async def fill_up(path: Path) -> None:
    """Another process takes all the room that is left."""
    process = await asyncio.create_subprocess_exec(
        _find("dd"), "if=/dev/zero", f"of={path}", "bs=64k", stderr=asyncio.subprocess.PIPE
    )
    _, told = await process.communicate()
    assert b"No space left" in told, told


def run(command: str, *arguments: str | Path, good: Sequence[int] = (0,)) -> str:
    """What a command says; one that fails, fails the test."""
    assert os.geteuid() == 0, "This test mounts a disk of its own, and that takes root."
    done = subprocess.run([_find(command), *arguments], check=False, capture_output=True, text=True)
    assert done.returncode in good, f"{command} failed: {done.stdout}{done.stderr}"
    return done.stdout


def _mount(folder: Path, *arguments: str | Path) -> None:
    folder.mkdir(exist_ok=True)
    run("mount", *arguments, folder)


def _find(command: str) -> str:
    program = shutil.which(command)
    assert program, f"This test needs {command}."
    return program
