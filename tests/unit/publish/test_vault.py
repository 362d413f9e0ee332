"""What is sealed opens in its own place, with a key of the ring, unchanged, and not otherwise."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publish.vault import LocalRing, Place, Vault, VaultError, key_name, new_key

PLACE = Place("tenant-1", "connection-1", "access_token")
OLD, NEW = (
    f"{name}:{base64.urlsafe_b64encode(bytes([byte]) * 32).decode()}" for name, byte in (("old", 1), ("new", 2))
)


@given(st.text())
def test_opens_to_what_was_sealed_and_never_to_the_same_bytes_twice(secret: str) -> None:
    vault = Vault(LocalRing([OLD]))
    sealed = vault.seal(secret, PLACE)
    assert vault.open(sealed, PLACE) == secret
    assert vault.seal(secret, PLACE) != sealed
    assert len(secret) < 4 or secret.encode() not in sealed


@pytest.mark.parametrize("field", ["tenant", "owner", "field"])
def test_does_not_open_in_another_place(field: str) -> None:
    vault = Vault(LocalRing([OLD]))
    sealed = vault.seal("secret", PLACE)
    with pytest.raises(VaultError, match="not of this place"):
        vault.open(sealed, replace(PLACE, **{field: "another"}))


def test_no_bit_can_be_changed() -> None:
    vault = Vault(LocalRing([OLD]))
    sealed = vault.seal("secret", PLACE)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(VaultError):
            vault.open(bytes(changed), PLACE)
    for length in range(len(sealed)):
        with pytest.raises(VaultError):
            vault.open(sealed[:length], PLACE)


def test_both_keys_open_during_a_rotation_and_the_old_one_can_go_after_it() -> None:
    before, during, after = Vault(LocalRing([OLD])), Vault(LocalRing([NEW, OLD])), Vault(LocalRing([NEW]))
    sealed = before.seal("secret", PLACE)
    assert during.open(sealed, PLACE) == "secret"
    assert key_name(during.seal("x", PLACE)) == "new"
    with pytest.raises(VaultError, match="the key old is not in LANDFALL_VAULT_KEYS"):
        after.open(sealed, PLACE)
    moved = during.rewrap(sealed, PLACE)
    assert (key_name(sealed), key_name(moved)) == ("old", "new")
    assert after.open(moved, PLACE) == "secret"
    with pytest.raises(VaultError, match="not of this place"):
        during.rewrap(sealed, replace(PLACE, owner="another"))


def test_another_key_of_the_same_name_is_found_out() -> None:
    sealed = Vault(LocalRing([OLD])).seal("secret", PLACE)
    impostor = "old:" + NEW.partition(":")[2]
    with pytest.raises(VaultError, match="another one than it was"):
        Vault(LocalRing([impostor])).open(sealed, PLACE)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "is not set"),
        (["old"], "place 1"),
        ([OLD, "x:short"], "place 2"),
        ([OLD, "bad name:" + OLD.partition(":")[2]], "place 2"),
        ([OLD, OLD], "two keys are called old"),
        (["k:!!!"], "place 1"),
    ],
)
def test_bad_keys_are_refused_by_their_place_and_never_shown(keys: list[str], said: str) -> None:
    with pytest.raises(VaultError, match=said) as refused:
        LocalRing(keys)
    assert "AQEB" not in str(refused.value)


def test_new_keys_fit() -> None:
    keys = [new_key(), new_key()]
    assert keys[0] != keys[1]
    assert len(LocalRing(keys).names) == 2
