"""The process that runs Ansible for a command, and leaves nothing of it behind.

`python -m qkdbus_deploy.fleet.warden FOLDER ARGUMENT...`: FOLDER is private to this run and is removed at the end;
the arguments are those of ansible-playbook. stdin is a pipe whose end means: enough (also when the command is
killed). Then, or when Ansible ends by itself, everything of Ansible's is ended too: what carries its environment
variable QKDBUS_HANDS, what that has started and not let go, and ssh's shared connections below FOLDER. What stays:
daemons that a command has left on this machine (a host whose connection is local), and connections that the user's
own settings share with others (a ControlPath of his).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import sysconfig
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from .. import kernel
from ..kernel import Mark

GENTLY = 0.5  # s that processes have to end after SIGTERM
GIVE_UP = 5.0  # s after which what is left stays
NOT_INSTALLED = 127  # exit code


def main() -> None:
    """Entry point."""
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    me = os.getpid()
    child = os.fork()
    if child == 0:
        kernel.die_with(me)
        _be_ansible(folder, arguments)
    code = _wait(child)
    end_all(str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


def _be_ansible(folder: Path, arguments: list[str]) -> NoReturn:
    """Become ansible-playbook, in this process: another interpreter would only cost time."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (as long as we live)
        # ssh asks the program `ansible` beside this one for passwords
        sys.argv = [str(_ansible(folder).with_name("ansible-playbook")), *arguments]
        try:
            from ansible.cli.playbook import main as playbook  # type: ignore[import-untyped]
        except ModuleNotFoundError as error:
            print(error, file=sys.stderr)
            code = NOT_INSTALLED
        else:
            from ansible.utils.display import Display  # type: ignore[import-untyped]

            Display().columns = 1 << 16  # versions before 2.19 break lines, in the middle of words
            playbook(sys.argv)
            code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ansible(folder: Path) -> Path:
    """Return the program `ansible` of this interpreter, or make one."""
    here = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    for found in here:
        if os.access(found / "ansible", os.X_OK):
            return found / "ansible"
    made = folder / "ansible"
    code = "import sys; sys.argv[0] = 'ansible'; import ansible.cli"  # which answers ssh, and ends
    made.write_text(f'#!/bin/sh\nexec \'{sys.executable}\' -c "{code}" "$@"\n')
    made.chmod(0o700)
    return made


def _wait(child: int) -> int:
    """Wait until Ansible has ended or the command wants no more; return the exit code."""
    handle = os.pidfd_open(child)
    ready, _, _ = select.select([0, handle], [], [])
    if handle not in ready:
        return 0
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def end_all(folder: str) -> None:
    """End everything of Ansible's that still runs, and wait for it."""
    began = time.monotonic()
    told: set[Mark] = set()
    while True:
        found = _ours(folder, {mark.pid for mark in told})
        told = {mark for mark in told | found if mark.alive()}
        late = time.monotonic() - began
        if not told or late > GIVE_UP:  # what is left is another user's (sudo): not ours to kill
            return
        for mark in told:
            # a tracker of shared memory wipes what its process left there (passwords), then ends by itself
            if late > GENTLY and "resource_tracker" not in _command(mark.pid):
                _kill(mark, signal.SIGKILL)
            elif mark in found:
                _kill(mark, signal.SIGTERM)
        time.sleep(0.01)


def _kill(mark: Mark, number: int) -> None:
    with suppress(PermissionError):
        mark.kill(number)


def _ours(folder: str, told: set[int]) -> set[Mark]:
    """Return what is of Ansible's, and what descends from that or from `told`, whose parents have ended."""
    parents = {int(entry): _parent(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}
    commands = {pid: _command(pid) for pid in parents}
    shared = {pid for pid, said in commands.items() if said.endswith(" [mux]") and folder not in said}
    mine = {pid for pid, said in commands.items() if said.startswith(f"ssh: {folder}/") or _is_marked(pid, folder)} - {
        os.getpid()
    }
    mine |= told
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    theirs = shared | {pid for pid, parent in parents.items() if parent in shared}  # and their ways through jump hosts
    return {mark for pid in mine - theirs if (mark := Mark.of(pid)) is not None}


def _is_marked(pid: int, folder: str) -> bool:
    with suppress(OSError):
        return f"QKDBUS_HANDS={folder}/".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


if __name__ == "__main__":
    main()
