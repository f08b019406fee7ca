"""Pseudonyms depend on the key and on nothing else; the key is private."""

import hashlib
import hmac

import pytest

from aseptic.core.errors import InputError
from aseptic.data.base import Unreadable
from aseptic.data.pseudonyms import key_file, pseudonym


def test_it_is_the_hmac(monkeypatch):
    monkeypatch.setenv("ASEPTIC_PSEUDONYM_KEY", "secret")
    expected = hmac.new(b"secret", b"patient\x1fDOE^JOHN", hashlib.sha256).hexdigest()[:12]
    assert pseudonym("patient", "DOE^JOHN") == expected
    assert pseudonym("file", "DOE^JOHN") != expected
    monkeypatch.setenv("ASEPTIC_PSEUDONYM_KEY", "other")
    assert pseudonym("patient", "DOE^JOHN") != expected


def test_a_key_is_made_once_and_is_private(monkeypatch, tmp_path):
    monkeypatch.delenv("ASEPTIC_PSEUDONYM_KEY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    first = pseudonym("patient", "1")
    assert key_file().parent == tmp_path / "state" / "aseptic"
    assert key_file().stat().st_mode & 0o777 == 0o600
    assert len(key_file().read_text()) == 64
    assert [path.name for path in key_file().parent.iterdir()] == ["pseudonym.key"]
    assert pseudonym("patient", "1") == first
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert pseudonym("patient", "1") != first


def test_another_process_that_was_first(monkeypatch, tmp_path):
    monkeypatch.delenv("ASEPTIC_PSEUDONYM_KEY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def late(_, target):
        target.write_text("the other's key")
        raise FileExistsError

    monkeypatch.setattr("os.link", late)
    expected = hmac.new(b"the other's key", b"patient\x1f1", hashlib.sha256).hexdigest()[:12]
    assert pseudonym("patient", "1") == expected


def test_messages(monkeypatch, tmp_path):
    monkeypatch.delenv("ASEPTIC_PSEUDONYM_KEY")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        InputError, match=r"pseudonym\.key cannot be used \(.+\); give the key as ASEPTIC_PSEUDONYM_KEY"
    ):
        pseudonym("patient", "1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    key_file().parent.mkdir()
    key_file().touch()
    with pytest.raises(InputError, match=r"pseudonym\.key is empty"):
        pseudonym("patient", "1")


def test_unreadable_files_in_records():
    assert Unreadable(file="images/a.png", reason="cut off").public().file == "images/a.png"
    hidden = Unreadable(file="ward/DOE^JOHN.dcm#3", reason="cut off").public()
    assert hidden == Unreadable(file=f"dcm-{pseudonym('file', 'ward/DOE^JOHN.dcm#3')}", reason="cut off")
    assert Unreadable(file="DOE^JOHN", reason="cut off").public().file.startswith("dcm-")
