"""Other machines: live hands on every host of an Ansible inventory, and what such a host is like."""
