"""The Ed25519 key that this machine signs with, in OpenSSH's format as Ollama's is."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ayllu.errors import StoreError
from ayllu.models.files import draft

KEY_NAME = "id_ed25519"


class Key:
    """The key that this machine signs with, in a folder: made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY_NAME

    def sign(self, text: str) -> str:
        """`<public key>:<signature>`, both base64: the key in SSH's wire format (RFC 8709).

        Raises StoreError where the key cannot be read or made.
        """
        key = self._load()
        signature = base64.b64encode(key.sign(text.encode())).decode()
        return f"{_public_line(key).split()[1]}:{signature}"

    def _load(self) -> Ed25519PrivateKey:
        try:
            if not self._path.exists():
                self._make()
            key = serialization.load_ssh_private_key(self._path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:  # TypeError: it wants a password
            raise StoreError(f"the key {self._path} cannot be used: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise StoreError(f"the key {self._path} is not an Ed25519 key: move it away")
        return key

    def _make(self) -> None:
        """Write a new pair; the first of several processes wins."""
        key = Ed25519PrivateKey.generate()
        with draft(self._path.parent) as new:  # 0600 from its first moment
            new.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.OpenSSH,
                    serialization.NoEncryption(),
                )
            )
            os.fsync(new.file.fileno())
            try:
                os.link(new.path, self._path)
            except FileExistsError:
                return
        with draft(self._path.parent) as new:
            new.write(f"{_public_line(key)}\n".encode())
            new.publish(self._path.with_name(f"{KEY_NAME}.pub"))


def _public_line(key: Ed25519PrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )
