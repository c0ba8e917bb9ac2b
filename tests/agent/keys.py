"""Keys, roots and releases as the registry signs them, made by openssl, for Python 3.6 has nothing of its own."""

import base64
import hashlib
import json
import os
import subprocess


def canonical(body):
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


class Key:
    """A P-256 key in a file."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, name + ".pem")
        make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path]
        subprocess.check_call(make, stderr=subprocess.DEVNULL)
        show = ["openssl", "pkey", "-in", self.path, "-pubout"]
        self.pem = subprocess.check_output(show).decode()
        der = base64.b64decode("".join(self.pem.splitlines()[1:-1]))
        self.public = {"key_id": hashlib.sha256(der).hexdigest(), "pem": self.pem}

    def sign(self, text):
        command = ["openssl", "dgst", "-sha256", "-sign", self.path]
        signature = subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, check=True).stdout
        return {"key_id": self.public["key_id"], "signature": base64.b64encode(signature).decode()}


def make_root(version, root_keys, release_keys, signers=None, threshold=1):
    """A signed root document; ``signers`` default to its own root keys."""
    document = canonical(
        {
            "format": "periscope-root/1",
            "version": version,
            "threshold": threshold,
            "root_keys": [key.public for key in root_keys],
            "release_keys": [key.public for key in release_keys],
        }
    )
    return {"document": document, "signatures": [key.sign(document) for key in signers or root_keys]}


def sign_release(key, desired, counter, **changes):
    """The release of what the registry wants, signed; ``changes`` go over its fields."""
    body = {
        "format": "periscope-release/1",
        "counter": counter,
        "device": "sub-1",
        "group": None,
        "model": desired["model"],
        "version": desired["version"],
        "zip": {name: desired["zip"][name] for name in ("sha256", "size_bytes")},
        "members": desired["members"],
        "flavour": "caffe",
        "constraints": {"min_tensorrt": None, "max_tensorrt": None},
        "activation": "now",
        "issued_at": "1970-01-01T00:00:00Z",
    }
    body.update(changes)
    document = canonical(body)
    return dict(key.sign(document), document=document)
