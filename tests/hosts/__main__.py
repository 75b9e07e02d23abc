"""A lab of SSH hosts on this machine, for people: `sudo .venv/bin/python -m tests.hosts up 3`.

    prepare                    install what a lab needs (Debian, Ubuntu)
    up N | NAME...             bring up N hosts, or hosts with these names; they stay until `down`
    status                     the labs of this machine and their hosts
    run LAB COMMAND...         run a command on the lab's controller (no command: a shell)
    on LAB HOST COMMAND...     run a command on a host, without ssh (no command: a shell)
    cut | heal LAB HOST [HOST]     silence on a host's cable, or between two (one may be "controller")
    loss | rate | delay LAB HOST NUMBER    percent of the packets; Mbit/s; ms more each way; 0: no more of it
    crash | boot | reset LAB HOST  pull the plug; switch on again (same disk); install anew
    down [LAB]                 take one lab down, or all that `up` made
    clean                      remove what labs left whose makers were killed

Hosts are network namespaces with a file system and an sshd of their own. They see each other and the controller, and no
more; nothing of this machine can reach them, so that everything (ssh, ansible, qkdbus) is run on the controller:

    python -m tests.hosts up A B C                  says the number of the lab, say 4711
    python -m tests.hosts run 4711                  a shell there; then:
    ssh -i $LAB/id_ed25519 root@A                   or qkd@A with the password qkd-secret
    ansible -i $LAB/inventory.yaml all -m raw -a hostname
    qkdbus deploy network.yaml $LAB/inventory.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from .folder import Folder, folders, is_abandoned
from .lab import Lab
from .machine import missing, prepare


def up(words: Sequence[str]) -> int:
    lab = Lab(int(words[0]), stay=True) if words[0].isdecimal() else Lab(names=words, stay=True)
    lab.up()
    number = Folder(lab.folder).number
    lab.inventory(lab.folder / "inventory.yaml")
    print(f"Lab {lab.folder}: {', '.join(f'{host.name} {host.address}' for host in lab.hosts.values())}")
    print(f"Next: {sys.executable} -m tests.hosts run {number}")
    return 0


def status(words: Sequence[str]) -> int:
    for folder in folders():
        if not folder.is_up():
            print(f"{folder.number}: {'its maker was killed (see clean)' if is_abandoned(folder) else 'on its way'}")
            continue
        record = folder.load()
        print(f"{folder.number}: {folder.path}, {'until down' if record.stay else f'of process {record.owner}'}")
        for host in record.hosts:
            trouble = ["off"] * (not host.pid) + ["cut"] * host.cut
            trouble += [f"loss {host.loss} %"] * bool(host.loss) + [f"{host.rate} Mbit/s"] * bool(host.rate)
            trouble += [f"{host.delay} ms"] * bool(host.delay)
            trouble += [f"cut from {'/'.join({*pair} - {host.name})}" for pair in record.apart if host.name in pair]
            print(f"  {host.name:12} {host.address:15} {', '.join(trouble) or 'on'}")
    return 0


def down(words: Sequence[str]) -> int:
    chosen = [_folder(words[0])] if words else [f for f in folders() if f.is_up() and f.load().stay]
    for folder in chosen:
        Lab.attach(folder).down()
        print(f"Lab {folder.number} is down")
    return 0


def clean(words: Sequence[str]) -> int:
    for folder in folders():
        if is_abandoned(folder):
            folder.remove()
            print(f"Removed {folder.path}")
    return 0


def run(words: Sequence[str]) -> int:
    lab = Lab.attach(_folder(words[0]))
    return lab.start(words[1:] or ["sh"], env={"LAB": str(lab.folder), "PS1": f"lab {words[0]} # "}).wait()


def on(words: Sequence[str]) -> int:
    lab = Lab.attach(_folder(words[0]))
    command = list(words[2:]) or ["bash"]
    return lab.on(words[1], command, check=False, timeout=0, stdin=None, stdout=None, stderr=None).returncode


def trouble(verb: str) -> Callable[[Sequence[str]], int]:
    def do(words: Sequence[str]) -> int:
        number = [float(words[2])] if verb in ("loss", "rate", "delay") else words[2:]
        getattr(Lab.attach(_folder(words[0])), verb)(words[1], *number)
        return 0

    return do


def install(words: Sequence[str]) -> int:
    prepare()
    print(missing() or "This machine can be a lab.")
    return bool(missing())


def _folder(number: str) -> Folder:
    for folder in folders():
        if str(folder.number) == number and folder.is_up():
            return folder
    raise LookupError(f"no lab {number} is up; `status` shows those that are")


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "prepare": install,
    "up": up,
    "status": status,
    "run": run,
    "on": on,
    "down": down,
    "clean": clean,
}
VERBS |= {verb: trouble(verb) for verb in ("cut", "heal", "loss", "rate", "delay", "crash", "boot", "reset")}


def main(words: Sequence[str]) -> int:
    """Do what the words say; the exit code."""
    if not words or words[0] not in VERBS:
        print(__doc__)
        return 0 if not words or words[0] in ("help", "-h", "--help") else 2
    if words[0] != "prepare" and (reason := missing()):
        print(f"Not here: {reason}", file=sys.stderr)
        return 1
    try:
        return VERBS[words[0]](words[1:])
    except IndexError:
        print(f"A word is missing after `{' '.join(words)}`; `python -m tests.hosts` tells which", file=sys.stderr)
        return 2
    except (LookupError, RuntimeError, ValueError) as error:
        print(error.args[0] if error.args else error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
