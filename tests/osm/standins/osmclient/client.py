"""Stand-in for osmclient's client. Its faults are those of the original, for they are what is to be got along with:

prints ids on stdout; adds a handler to a logger at each Client; after some calls a Client asks at the wrong place, or
sends headers of an earlier upload; never checks a certificate; lets errors of its HTTP library through.
"""

from __future__ import annotations

import hashlib
import json
import logging
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .common.exceptions import ClientException, NotFound, OsmHttpException

Record = dict[str, Any]


class ConnectFailure(Exception):
    """No ClientException: the original lets errors of requests (or pycurl) through."""


ConnectFailure.__module__ = "requests.exceptions"


class Client:
    def __init__(
        self, host: str, sol005: bool = True, user: str = "admin", password: str = "admin", project: str = "admin"
    ) -> None:
        logging.getLogger("osmclient").addHandler(logging.StreamHandler())
        assert sol005 and not any(password in each for each in sys.argv)
        self.url = host if "://" in host else f"https://{host}/osm"
        self.who = {"username": user, "password": password, "project_id": project}
        self.headers = {"Accept": "application/json", "Content-Type": "application/yaml"}
        self.vim, self.vnf, self.ns = Vim(self), Vnf(self), Ns(self)
        self.vnfd = Descriptors(self, "/vnfpkgm/v1/vnf_packages")
        self.nsd = Descriptors(self, "/nsd/v1/ns_descriptors")

    def get_token(self) -> None:
        if "Authorization" not in self.headers:
            self.headers["Authorization"] = f"Bearer {self.send('POST', '/admin/v1/tokens', self.who)[1]['id']}"

    def send(self, method: str, path: str, body: Record | bytes | None = None) -> tuple[int, Any]:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.url + path, content, self.headers, method=method)
        context = ssl._create_unverified_context() if self.url.startswith("https") else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=15) as got:
                text = got.read().decode()
                return got.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            kind = NotFound if error.code == 404 else OsmHttpException
            raise kind(f"Error {error.code}: {error.read().decode()}") from None
        except OSError as error:
            raise ConnectFailure(str(error)) from None


class Part:
    base: str

    def __init__(self, client: Client) -> None:
        self.client = client

    def list(self, filter: str | None = None) -> list[Record]:
        self.client.get_token()
        found: list[Record] = self.client.send("GET", self.base + (f"?{filter}" if filter else ""))[1]
        return found

    def get(self, name: str) -> Record:
        for each in self.list():
            if name in (each["_id"], each["name"]):
                return each
        raise NotFound(f"{name} not found")


class Vim(Part):
    base = "/admin/v1/vim_accounts"

    def list(self, filter: str | None = None) -> list[Record]:
        return [{"name": each["name"], "uuid": each["_id"]} for each in super().list(filter)]

    def get(self, name: str) -> Record:
        self.client.get_token()
        found: Record = self.client.send("GET", f"{self.base}/{name}")[1]
        return found


class Descriptors(Part):
    def __init__(self, client: Client, base: str) -> None:
        super().__init__(client)
        self.base = base

    def create(self, filename: str) -> None:
        self.client.get_token()
        content = Path(filename).read_bytes()
        self.client.headers["Content-Type"] = "application/gzip" if content[:2] == b"\x1f\x8b" else "text/plain"
        self.client.headers["Content-Filename"] = Path(filename).name
        self.client.headers["Content-File-MD5"] = hashlib.md5(content).hexdigest()
        self.base = f"{self.base}_content"
        print(self.client.send("POST", self.base, content)[1]["id"])

    def get(self, name: str) -> Record:
        for each in self.list():
            if name == each["_id"]:
                return each
        raise NotFound(f"{name} not found")

    def delete(self, name: str) -> None:
        self.client.send("DELETE", f"{self.base}/{self.get(name)['_id']}")
        print("Deleted")


class Ns(Part):
    base = "/nslcm/v1/ns_instances_content"

    def create(
        self,
        nsd_name: str,
        nsr_name: str,
        account: str,
        config: str | None = None,
        ssh_keys: str | None = None,
        description: str = "default description",
        wait: bool = False,
    ) -> str:
        self.client.get_token()
        wish = {"nsdId": self.client.nsd.get(nsd_name)["_id"], "nsName": nsr_name, "nsDescription": description}
        wish["vimAccountId"] = self.client.vim.get(account)["_id"]
        if ssh_keys:
            wish["ssh_keys"] = [Path(file).read_text() for file in ssh_keys.split(",")]
        if config:
            import yaml  # here, for most calls do without

            wish.update(yaml.safe_load(config))
        try:
            got = self.client.send("POST", self.base, wish)[1]
        except ClientException as error:
            raise ClientException(f"failed to create ns: {nsr_name} nsd: {nsd_name}\nerror:\n{error}") from None
        print(got["id"])
        return str(got["id"])

    def list_op(self, name: str) -> list[Record]:
        ns = self.get(name)
        self.base = "/nslcm/v1/ns_lcm_op_occs"
        found: list[Record] = self.client.send("GET", f"{self.base}?nsInstanceId={ns['_id']}")[1]
        return found

    def get_op(self, operation: str) -> Record:
        self.client.get_token()
        self.base = "/nslcm/v1/ns_lcm_op_occs"
        try:
            found: Record = self.client.send("GET", f"{self.base}/{operation}")[1]
        except ClientException as error:
            raise ClientException(f"failed to get status of operation {operation}:\nerror:\n{error}") from None
        return found

    def delete(self, name: str, force: bool = False) -> None:
        status, _ = self.client.send("DELETE", f"{self.base}/{self.get(name)['_id']}{'?FORCE=True' if force else ''}")
        print("Deletion in progress" if status == 202 else "Deleted")


class Vnf:
    def __init__(self, client: Client) -> None:
        self.client = client

    def list(self, ns: str | None = None, filter: str | None = None) -> list[Record]:
        self.client.get_token()
        narrowed = [f"nsr-id-ref={self.client.ns.get(ns)['_id']}"] if ns else []
        query = "&".join([*narrowed, *([filter] if filter else [])])
        found: list[Record] = self.client.send("GET", f"/nslcm/v1/vnfrs?{query}")[1]
        return found
