"""Debian's docker-registry with token authentication, and in front of it what gives the tokens.

As at Ollama's registry the tokens come from the registry's own origin, for an Ed25519 signature,
which is really verified here.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from registries import Registry, docker_registry

NOTHING = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
WIRE = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"


def encoded(data: bytes) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens (JWT, ES256) that docker-registry believes."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
        self.bundle = folder / "issuer.pem"
        folder.mkdir(parents=True, exist_ok=True)
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def token(self, scopes: list[str], seconds: int) -> str:
        """A token for some scopes, `repository:name:action,action`."""
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        now = int(time.time())
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in (scope.split(":") for scope in scopes if scope)
        ]
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": "tests",
            "aud": "models",
            "sub": "me",
            "exp": now + seconds,
            "nbf": now - 60,
            "iat": now,
            "jti": str(now),
            "access": access,
        }
        text = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class Front(ThreadingHTTPServer):
    """Gives tokens at /token and hands everything else on. `granted` has the scopes of each."""

    daemon_threads = True

    def __init__(self, issuer: Issuer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = issuer
        self.backend = ""
        self.seconds = 300
        self.granted: list[list[str]] = []
        self.refused = 0
        self.keys: set[str] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Front

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass

    def handle_any(self) -> None:
        if self.path.startswith("/token"):
            self.give_token()
        else:
            self.hand_on()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any  # noqa: N815 - the library's names

    def give_token(self) -> None:
        query = parse_qsl(urlsplit(self.path).query, keep_blank_values=True)
        if not self.is_signed(dict(query)):
            self.server.refused += 1
            self.answer(401, b"{}")
            return
        scopes = [value for name, value in query if name == "scope"]
        self.server.granted.append(scopes)
        token = self.server.issuer.token(scopes, self.server.seconds)
        self.answer(200, json.dumps({"token": token}).encode())

    def is_signed(self, query: dict[str, str]) -> bool:
        """Whether the request is signed by a key that is welcome, in Ollama's way, and fresh."""
        public, _, signature = self.headers.get("Authorization", "").partition(":")
        text = f"GET,http://{self.headers['Host']}{self.path},{NOTHING}"
        try:
            wire = base64.b64decode(public)
            key = Ed25519PublicKey.from_public_bytes(wire.removeprefix(WIRE))
            key.verify(base64.b64decode(signature), text.encode())
        except (InvalidSignature, ValueError):
            return False
        fresh = abs(int(query["ts"]) - time.time()) < 60 and len(query["nonce"]) == 22
        return fresh and (self.server.keys is None or public in self.server.keys)

    def hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        connection = http.client.HTTPConnection(self.server.backend, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        response = connection.getresponse()
        self.answer(response.status, response.read(), dict(response.headers.items()))
        connection.close()

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def token_registry(folder: Path, **options: Any) -> Iterator[tuple[Front, Registry]]:
    """The front, whose `host` is the registry's to all others, and the registry behind it.

    To fill it, put models into a docker_registry with the same folder first: it wants no tokens.
    `options` are attributes of the front.
    """
    issuer = Issuer(folder)
    front = Front(issuer)
    for name, value in options.items():
        setattr(front, name, value)
    auth = (
        f"auth: {{token: {{realm: 'http://{front.host}/token', service: models, issuer: tests, "
        f"rootcertbundle: {issuer.bundle}}}}}"
    )
    with docker_registry(folder, auth) as registry:
        front.backend = registry.host
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        try:
            yield front, registry
        finally:
            front.shutdown()
            front.server_close()
            thread.join()
