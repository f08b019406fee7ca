"""Names that cannot be traced back: a keyed hash, so that nobody without the key can try out identifiers."""

import hashlib
import hmac
import os
import secrets
from functools import cache
from pathlib import Path

from aseptic.core.errors import InputError

VARIABLE = "ASEPTIC_PSEUDONYM_KEY"
"""Environment variable that holds the key itself; the same key gives the same pseudonyms on several machines."""
DIGITS = 12
"""Hexadecimal digits of a pseudonym (48 bits)."""
PRIVATE = 0o600
"""Only the owner may read the key."""


def pseudonym(kind: str, value: str) -> str:
    """Return the pseudonym of ``value`` among the ``kind``: the first 12 hex digits of HMAC-SHA256.

    Raises:
        InputError: There is no key and none can be made.
    """
    return hmac.new(_key(), f"{kind}\x1f{value}".encode(), hashlib.sha256).hexdigest()[:DIGITS]


def key_file() -> Path:
    """Return where the key of this user lives: the state folder of the platform."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "aseptic" / "pseudonym.key"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "aseptic" / "pseudonym.key"


def _key() -> bytes:
    given = os.environ.get(VARIABLE)
    return given.encode() if given else _stored_key(key_file())


@cache
def _stored_key(path: Path) -> bytes:
    """Return the key in the file, made with 256 random bits if there is none yet."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE), "w") as file:
                file.write(secrets.token_hex(32))
            try:
                os.link(fresh, path)  # Atomic, and fails where another process was first: its key stands.
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        key = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"the pseudonym key {path} cannot be used ({reason}); give the key as {VARIABLE}") from error
    if not key:
        raise InputError(f"the pseudonym key {path} is empty; delete it, or give the key as {VARIABLE}")
    return key
