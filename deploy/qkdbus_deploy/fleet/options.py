"""How Ansible is to be run: what a user of `ansible-playbook` would say on its command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Beside the inventory and the user's own ansible.cfg, which say most.

    Attributes:
        limit: which of the inventory's hosts; a pattern of Ansible's, or nothing for all.
        vault_password_file: opens what is encrypted in the inventory; a file, or a program that prints it.
        ask_pass: ask for the password of ssh on the terminal. The other two alike.
        connect_timeout: s; None is what the user's ansible.cfg says, or else 10.
        known_hosts: hosts' keys are looked up in, and added to, this file: for machines that were just made.
        verbose: say what Ansible says.
        environment: for Ansible, beside that of this process.
    """

    limit: str = ""
    vault_password_file: Path | None = None
    ask_pass: bool = False
    ask_become_pass: bool = False
    ask_vault_pass: bool = False
    connect_timeout: int | None = None
    known_hosts: Path | None = None
    verbose: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Whether Ansible will ask something on the terminal."""
        return self.ask_pass or self.ask_become_pass or self.ask_vault_pass


def arguments(inventory: Path, options: Options) -> list[str]:
    """Return the arguments of `ansible-playbook`."""
    found = ["-i", str(inventory.absolute()), "--forks", "512"]  # a worker waits for us as long as we live
    if options.limit:
        found += ["--limit", options.limit]
    if options.vault_password_file is not None:
        found += ["--vault-password-file", str(options.vault_password_file.absolute())]
    found += ["--ask-pass"] * options.ask_pass
    found += ["--ask-become-pass"] * options.ask_become_pass
    found += ["--ask-vault-pass"] * options.ask_vault_pass
    return [*found, str(Path(__file__).parent / "ansible" / "play.yml")]


def environment(folder: Path, around: Mapping[str, str], options: Options) -> dict[str, str]:
    """Return Ansible's environment: `around`, with our settings. `folder` is private to this run."""
    ours = {
        "QKDBUS_HANDS": str(folder / "socket"),
        "ANSIBLE_STDOUT_CALLBACK": "qkdbus_hands",
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "ssh"),
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_DEBUG": "0",  # it would show what commands say
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "LC_ALL": "C.UTF-8",  # Ansible wants UTF-8, and we read what ssh says
    }
    if options.connect_timeout is not None:
        ours["ANSIBLE_TIMEOUT"] = str(options.connect_timeout)
    if options.known_hosts is not None:
        ours["QKDBUS_KNOWN_HOSTS"] = str(options.known_hosts.absolute())
    return {**around, **options.environment, **ours}
