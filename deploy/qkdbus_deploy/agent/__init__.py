"""What runs on a host: `python -m qkdbus_deploy.agent` takes one request and gives one answer, in JSON.

It is brought there by `software/` and asked through `fleet/`. Whoever can log in to the host can run it, and nothing
of it stays: the host's nodes live on under their warm parent.
"""
