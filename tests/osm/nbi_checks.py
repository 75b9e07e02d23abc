"""What OSM's northbound interface checks before it takes anything, as release 19 does; errors are HTTP statuses."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import yaml

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAME = re.compile(r"[^,;()'\"]{1,255}")
_VNFD = {
    *("id", "product-name", "provider", "version", "mgmt-cp", "df", "vdu", "ext-cpd", "description"),
    *("sw-image-desc", "virtual-compute-desc", "virtual-storage-desc", "kdu", "k8s-cluster"),
}
_VDU = {
    *("id", "name", "cloud-init", "cloud-init-file", "sw-image-desc", "int-cpd", "description"),
    *("virtual-compute-desc", "virtual-storage-desc"),
}
_NSD = {"id", "name", "designer", "version", "vnfd-id", "virtual-link-desc", "df", "description"}
_LINK = {"id", "mgmt-network", "vim-network-name", "description"}
_PROFILE = {"id", "vnfd-id", "virtual-link-connectivity"}
_WISH = {
    *("nsName", "nsdId", "vimAccountId", "nsDescription", "ssh_keys", "timeout_ns_deploy", "vld", "vnf"),
    *("additionalParamsForVnf", "additionalParamsForNs", "wimAccountId"),
}
Files = dict[str, bytes]


class Wrong(Exception):
    """An error as OSM answers it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def read(content: bytes) -> Any:
    """Read YAML, or JSON, which is YAML too."""
    try:
        return json.loads(content) if content[:1] == b"{" else yaml.load(content, yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise Wrong(400, f"yaml format error {error}") from None


def package(content: bytes, kind: str, md5: str | None) -> tuple[dict[str, Any], Files]:
    """Open a VNF package: its descriptor, and its files by their path within."""
    if md5 and hashlib.md5(content).hexdigest() != md5:
        raise Wrong(409, "Descriptor MD5 mismatch")
    if kind != "application/gzip":
        raise Wrong(415, f"Content-Type {kind} is not for a package")
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            files = {each.name: _content(tar, each) for each in tar if each.isfile()}
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise Wrong(400, f"invalid file content: {error}") from None
    inside = {name.split("/", 1)[1]: each for name, each in files.items()}
    tops = [name for name in inside if "/" not in name and name.endswith((".yaml", ".yml"))]
    if len({name.split("/")[0] for name in files}) != 1 or len(tops) != 1:
        raise Wrong(400, f"package must hold one folder with one descriptor, not {tops}")
    return vnfd(read(inside[tops[0]]), inside), inside


def vnfd(document: Any, files: Files) -> dict[str, Any]:
    """Check a VNF descriptor."""
    found = _mapping(_only(document, "vnfd"), _VNFD, {"id", "df"}, "vnfd")
    computes = {each["id"] for each in found.get("virtual-compute-desc", [])}
    storages = {each["id"] for each in found.get("virtual-storage-desc", [])}
    images = {each["id"] for each in found.get("sw-image-desc", [])}
    for vdu in found.get("vdu", []):
        _mapping(vdu, _VDU, {"id"}, "vdu")
        file = vdu.get("cloud-init-file")
        if file and f"cloud_init/{file}" not in files:
            raise Wrong(400, f"{file} defined in vnf[id={found['id']}]:vdu[id={vdu['id']}] but not present in package")
        _known([vdu.get("sw-image-desc")], images, "vdu:sw-image-desc")
        _known([vdu.get("virtual-compute-desc")], computes, "vdu:virtual-compute-desc")
        _known(vdu.get("virtual-storage-desc", []), storages, "vdu:virtual-storage-desc")
    inner = {(vdu["id"], point["id"]) for vdu in found.get("vdu", []) for point in vdu.get("int-cpd", [])}
    for point in found.get("ext-cpd", []):
        end = point["int-cpd"]
        _known([(end["vdu-id"], end["cpd"])], inner, "ext-cpd:int-cpd")
    _known([found["mgmt-cp"]] if "mgmt-cp" in found else [], {p["id"] for p in found["ext-cpd"]}, "mgmt-cp")
    return found


def nsd(content: bytes, vnfds: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Check a bare NS descriptor (YAML or JSON)."""
    listed = _only(_only(read(content), "nsd"), "nsd")
    if not isinstance(listed, list) or len(listed) != 1:
        raise Wrong(422, "Format error at 'nsd:nsd' : one descriptor expected")
    found = _mapping(listed[0], _NSD, {"id", "df"}, "nsd")
    links = {_mapping(each, _LINK, {"id"}, "virtual-link-desc")["id"] for each in found.get("virtual-link-desc", [])}
    for machine in found.get("vnfd-id", []):
        if machine not in vnfds:
            raise Wrong(409, f"Descriptor error at 'vnfd-id'='{machine}' references a non existing vnfd")
    members = [profile for df in found["df"] for profile in df.get("vnf-profile", [])]
    if len({each.get("id") for each in members}) != len(members):
        raise Wrong(422, "Format error at 'vnf-profile' : list item is repeated")
    for member in members:
        _profile(member, links, found, vnfds)
    return found


def wish(body: Any, members: Collection[str]) -> dict[str, Any]:
    """Check the parameters of an instantiation against the schema, and its members against the descriptor."""
    found = _mapping(body, _WISH, {"nsName", "nsdId", "vimAccountId"}, "instantiation")
    for key in ("nsdId", "vimAccountId"):
        if not isinstance(found[key], str) or not UUID.fullmatch(found[key]):
            raise Wrong(422, f"Format error at '{key}' '{found[key]}' does not match a uuid")
    if not NAME.fullmatch(str(found["nsName"])):
        raise Wrong(422, "Format error at 'nsName'")
    keys = found.get("ssh_keys", [])
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Wrong(422, "Format error at 'ssh_keys' : is not of type 'array'")
    for part in ("vnf", "additionalParamsForVnf"):
        for each in found.get(part, []):
            if each.get("member-vnf-index") not in members:
                raise Wrong(
                    400, f"Invalid parameter member_vnf_index='{each.get('member-vnf-index')}' is not in the nsd"
                )
    return found


def _profile(member: Any, links: Collection[str], nsd: Mapping[str, Any], vnfds: Mapping[str, dict[str, Any]]) -> None:
    _mapping(member, _PROFILE, _PROFILE, "vnf-profile")
    if not NAME.fullmatch(str(member["id"])):
        raise Wrong(422, f"Format error at 'vnf-profile:id' '{member['id']}'")
    _known([member["vnfd-id"]], nsd.get("vnfd-id", []), "vnf-profile:vnfd-id")
    points = {each["id"] for each in vnfds[member["vnfd-id"]].get("ext-cpd", [])}
    for link in member["virtual-link-connectivity"]:
        _known([link["virtual-link-profile-id"]], links, "virtual-link-profile-id")
        _known([each["constituent-cpd-id"] for each in link["constituent-cpd-id"]], points, "constituent-cpd-id")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def _only(document: Any, key: str) -> Any:
    if not isinstance(document, dict) or list(document) != [key]:
        raise Wrong(422, f"Error in pyangbind validation: {key} and nothing else expected at the top")
    return document[key]


def _mapping(value: Any, known: Collection[str], needed: Collection[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong(422, f"Format error at '{where}' : is no mapping")
    if odd := [key for key in value if key not in known]:
        raise Wrong(422, f"Format error at '{where}' : additional properties are not allowed ({', '.join(odd)})")
    if lacking := [key for key in needed if key not in value]:
        raise Wrong(422, f"Format error at '{where}' : {', '.join(sorted(lacking))} is a required property")
    return value


def _known(names: Collection[Any], known: Collection[Any], where: str) -> None:
    for name in names:
        if name not in known:
            raise Wrong(422, f"Error at {where}='{name}' references a non existing element")
