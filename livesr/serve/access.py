"""Access control: tokens and web origins."""

from __future__ import annotations

import hmac
import ipaddress
import re
import shlex
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from livesr.errors import LivesrError
from livesr.serve.protocol import SUBPROTOCOL, TOKEN_PREFIX

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{16,512}")  # characters that a subprotocol may have


def read_tokens(path: str | Path) -> tuple[str, ...]:
    """Read tokens from a file, one in each line; empty lines and # lines are skipped.

    Raises:
        LivesrError: if it cannot be read, or a line is not a token.
    """
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not plain ASCII text"
        raise LivesrError(f"The token file {path} cannot be read: {why}.") from None
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for number, token in enumerate(tokens, 1):
        if not _TOKEN.fullmatch(token):
            raise LivesrError(
                f"Token {number} of {path} cannot be used: a token is 16 to 512 letters, digits or "
                "any of !#$%&'*+.^_`|~- (for example: openssl rand -hex 24)."
            )
    if not tokens:
        raise LivesrError(f"The token file {path} holds no token; write one a line.")
    return tuple(tokens)


def is_loopback(host: str) -> bool:
    """Whether an address or name is a loopback address of this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_bind(host: str, tokens: tuple[str, ...], no_auth: bool) -> None:
    """Refuse to listen on a public address without tokens or `--no-auth`.

    Raises:
        LivesrError: if there is neither a token nor `--no-auth`.
    """
    if not is_loopback(host) and not tokens and not no_auth:
        raise LivesrError(
            f"{host} can be reached from other machines: give --token-file FILE, or --no-auth if "
            "everyone who can reach it may use it."
        )


def check_tls(cert: Path, key: Path) -> None:
    """Check that a certificate and its key can be used.

    Raises:
        LivesrError: if they cannot.
    """

    def passphrase() -> str:  # without it, OpenSSL asks at the terminal
        raise LivesrError(
            f"The key {key} is encrypted, and a server has nobody to ask for its passphrase; write "
            f"it without one: openssl pkey -in {shlex.quote(str(key))} -out NEW"
        )

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, passphrase)
    except (OSError, ValueError) as error:  # ssl's own errors are OSErrors
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise LivesrError(
            f"The certificate {cert} with the key {key} cannot be used ({why}); both are PEM files."
        ) from None


def check_origins(origins: list[str]) -> None:
    """Check that these are web origins as browsers write them.

    Raises:
        LivesrError: naming the wrong one and its correct form.
    """
    for origin in origins:
        try:
            parts = urlsplit(origin)
            plain = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            plain = False
        if not plain or origin != f"{parts.scheme}://{parts.netloc}":
            host = origin.partition("://")[2] or origin
            raise LivesrError(
                f"--origin {origin} is no origin: write scheme and host, without a path, like "
                f"https://{host.partition('/')[0]}."
            )


def offered(headers: Headers) -> list[str]:
    """The websocket subprotocols that a client offers."""
    values = headers.getlist("sec-websocket-protocol")
    return [part.strip() for value in values for part in value.split(",")]


def has_token(headers: Headers, tokens: tuple[str, ...]) -> bool:
    """Whether the request carries one of them: in Authorization, or among its subprotocols."""
    if not tokens:
        return True
    scheme, _, value = headers.get("authorization", "").partition(" ")
    given = [value.strip()] if scheme.lower() == "bearer" else []
    given += [
        name.removeprefix(TOKEN_PREFIX)
        for name in offered(headers)
        if name.startswith(TOKEN_PREFIX)
    ]
    found = False
    for candidate in given:
        for token in tokens:  # always compare all of them, so that the time reveals nothing
            found |= hmac.compare_digest(candidate.encode(), token.encode())
    return found


def chosen(headers: Headers) -> str | None:
    """The subprotocol of the answer.

    Raises:
        LivesrError: if the client offers others only.
    """
    names = [name for name in offered(headers) if not name.startswith(TOKEN_PREFIX)]
    if not names:
        return None
    if SUBPROTOCOL not in names:
        raise LivesrError(f"This server speaks the subprotocol {SUBPROTOCOL}; offer it.")
    return SUBPROTOCOL


def origin_allowed(headers: Headers, host: str, origins: tuple[str, ...]) -> bool:
    """Whether a page of this origin may connect; a request without an origin may (no browser).

    Args:
        headers: of the request.
        host: address that the server listens on. On loopback, the page's host must be a loopback
            name too, against DNS rebinding.
        origins: allowed in addition to the server's own.
    """
    origin = headers.get("origin")
    if origin is None or origin in origins:
        return True
    try:
        parts = urlsplit(origin)
        same = bool(parts.netloc) and parts.netloc == headers.get("host")
        return same and (not is_loopback(host) or is_loopback(parts.hostname or ""))
    except ValueError:
        return False
