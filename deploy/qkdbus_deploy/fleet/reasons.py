"""Ansible's and ssh's words, turned into what is wrong and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What is said (any case) -> what is wrong, and the remedy. {user}, {host}, {port} are of the host; the first that fits.
REASONS = (
    (
        "remote host identification has changed|host key for .* has changed",
        "its host key is not the one it had",
        "if the machine was made anew: ssh-keygen -R {host}; if not, somebody may be in between",
    ),
    (
        "host key verification failed|host key checking is enabled|no .* host key is known",
        "its host key is not known, or not the one it had",
        "connect once by hand (ssh {user}@{host}) and look; or, if it was made anew, ssh-keygen -R {host}",
    ),
    (
        r"permission denied \(",
        "{user} is not let in: wrong user, password or key",
        "set ansible_user and ansible_ssh_pass (or ansible_ssh_private_key_file) in the inventory, or use --ask-pass",
    ),
    (
        "invalid/incorrect (username/)?password",
        "{user} is not let in: wrong user or password",
        "set ansible_user and ansible_ssh_pass in the inventory, or use --ask-pass",
    ),
    (
        "too many authentication failures",
        "{user} is not let in: too many keys were tried",
        "name the right one: ansible_ssh_private_key_file, with ansible_ssh_common_args='-o IdentitiesOnly=yes'",
    ),
    ("connection refused", "nothing listens at {host}:{port}", "start sshd there, or set ansible_port"),
    (
        "could not resolve hostname|name or service not known|temporary failure in name resolution",
        "no address is known for the name {host}",
        "set ansible_host to its IP address",
    ),
    ("no route to host|network is unreachable", "there is no way to {host}", "is it on, and on this network?"),
    (
        "connect to .* timed out|connection timed out during banner|operation timed out",
        "{host}:{port} does not answer",
        "is it on? does a firewall let ssh through? (ansible_port, --connect-timeout)",
    ),
    (
        "incorrect .* password|sorry, try again|incorrect password attempts",
        "the password for becoming another user is wrong",
        "set ansible_become_password in the inventory, or use --ask-become-pass",
    ),
    (
        "missing .* password|a password is required|a terminal is required|duplicate become password",
        "becoming another user needs a password",
        "set ansible_become_password in the inventory, or use --ask-become-pass",
    ),
    (
        "waiting for (privilege escalation|become success)|^becoming another user",
        "becoming another user does not work: {last}",
        "is ansible_become_method (sudo, su) installed there, and may {user} use it?",
    ),
    ("sshpass", "this Ansible gives passwords to ssh by sshpass", "install sshpass, or ansible-core 2.19 or newer"),
    (
        "^$|timeout, server .* not responding|broken pipe|connection reset|connection to .* closed|closed by remote",
        "the connection broke",
        "is the machine up, and the network? Then run the command again",
    ),
)
# What Ansible puts before ssh's words.
PREFIX = re.compile(
    r"^((Failed to connect to the host via ssh|Data could not be sent to remote host .* over ssh): *)+", re.I
)
NO_SECRET = "no vault secrets found"
WRONG_SECRET = "decryption failed|no vault secrets were found that could decrypt"
# What a plugin made of an inventory file; and where in it the fault is, as newer and as older Ansibles say it.
OF_PLUGIN = re.compile(r"failed to parse .* with '?(?:\S*\.)?(\w+)'? plugin: (.*)", re.IGNORECASE)
AT_LINE = re.compile(
    r"^Origin: (?P<file>\S+?):(?P<line>\d+)|'(?P<old_file>[^']+)': line (?P<old_line>\d+)", re.MULTILINE
)
BOILERPLATE = re.compile(r"^(Task failed: |Failed to parse inventory: |becoming another user: )+")
NOISE = re.compile(r"^(\[(error|warning|deprecation warning)\]|error!?:?|warning:)[:!]?\s*", re.IGNORECASE)
LINES = 6  # of Ansible's words that are passed on


def unreachable(variables: Mapping[str, Any], said: str) -> str:
    """Say why a host cannot be reached (or its user become another), with the remedy."""
    host = str(variables.get("ansible_host", "the host"))
    user = str(variables.get("ansible_user") or "the user")
    names = {"host": host, "user": user, "port": str(variables.get("ansible_port") or 22)}
    said = PREFIX.sub("", said.strip())
    names["last"] = (shorten(said).rpartition("; ")[2] or said).strip()
    for pattern, cause, remedy in REASONS:
        if re.search(pattern, said, re.IGNORECASE):
            return f"{cause.format(**names)} ({remedy.format(**names)})".replace("the user@", "")
    return f"cannot be reached: {shorten(said)}"


def inventory(file: Path, said: str) -> str:
    """Say what is wrong with an inventory, out of what Ansible printed before it gave up."""
    if re.search(WRONG_SECRET, said, re.IGNORECASE):
        return f"{file}: the vault password does not open what is encrypted in it"
    if re.search(NO_SECRET, said, re.IGNORECASE):
        return f"{file}: a part of it is encrypted; give the password with --vault-password-file or --ask-vault-pass"
    by_plugin = dict(OF_PLUGIN.findall(said))
    for plugin in ("script", "yaml" if file.suffix in (".yaml", ".yml", ".json") else "ini", *by_plugin):
        if plugin in by_plugin:
            return f"{file}{_line(file, said)}: {_plain(by_plugin[plugin])}"
    return f"{file}: {shorten(said) or 'Ansible cannot use it'}"


def warnings(said: str) -> list[str]:
    """Return what Ansible warns of."""
    return [line.partition("]: ")[2] for line in said.splitlines() if line.startswith("[WARNING]: ")]


def shorten(said: str) -> str:
    """Return the telling lines of what Ansible said, in one line."""
    lines = [_plain(NOISE.sub("", line.strip())) for line in said.strip().splitlines()]
    lines = list(dict.fromkeys(line for line in lines if line and not line.startswith(("<<<", ">>>", "Traceback"))))
    return "; ".join(lines[:LINES])


def _plain(said: str) -> str:
    return BOILERPLATE.sub("", said).rstrip(". ")


def _line(file: Path, said: str) -> str:
    for found in AT_LINE.finditer(said):
        if Path(found["file"] or found["old_file"]).name == file.name:
            return f", line {found['line'] or found['old_line']}"
    return ""
