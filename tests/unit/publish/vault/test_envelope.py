"""What is sealed opens in its own place, with a key of the ring, unchanged, and not otherwise."""

import base64
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.cli import wiring
from ops.cli.composition import vault_of
from ops.runtime.settings import Configuration, ConfigurationError, Settings
from publish.vault.envelope import LocalRing, Ring, Vault, VaultError, key_name, new_key
from schema.sealing import Place
from tests.keyrings import WRAPPED_BYTES, KeyService

PLACE = Place("tenant-1", "connection-1", "access_token")
OLD, NEW = (
    f"{name}:{base64.urlsafe_b64encode(bytes([byte]) * 32).decode()}" for name, byte in (("old", 1), ("new", 2))
)
FIRST_VERSION = base64.b64decode(
    "AQNvbGRL1XqJHf3IqhVqT7jEy0MA2Xkbwy22ANLawV+E+FvJdKsNQXcL486e9oi92TAJq+goz9n+hGWHoacAZg2BKBi1DnXz+3r+xdDFIfBUW7j/"
    "SPg9Rlel/KH/dGOl/a6D"
)
"""``secret`` at PLACE, as the release before the second version sealed it under OLD."""


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


@pytest.mark.parametrize("ring", [LocalRing([OLD]), KeyService()], ids=["local", "service"])
def test_no_bit_can_be_changed(ring: Ring) -> None:
    vault = Vault(ring)
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


def test_what_an_older_release_sealed_opens_and_gets_the_new_form_when_it_is_moved() -> None:
    vault = Vault(LocalRing([NEW, OLD]))
    assert (key_name(FIRST_VERSION), vault.open(FIRST_VERSION, PLACE)) == ("old", "secret")
    moved = vault.rewrap(FIRST_VERSION, PLACE)
    assert (FIRST_VERSION[0], moved[0], key_name(moved)) == (1, 2, "new")
    assert vault.open(moved, PLACE) == "secret"
    for place in (replace(PLACE, owner="another"), replace(PLACE, field="refresh_token")):
        with pytest.raises(VaultError, match="not of this place"):
            vault.open(FIRST_VERSION, place)


def test_key_service_may_wrap_to_another_length_and_holds_what_it_seals_to_its_place_too() -> None:
    vault = Vault(KeyService())
    sealed = vault.seal("secret", PLACE)
    assert len(sealed) == 2 + len(KeyService.primary) + 2 + WRAPPED_BYTES + 12 + len("secret") + 16
    assert (key_name(sealed), vault.open(sealed, PLACE)) == (KeyService.primary, "secret")
    with pytest.raises(VaultError, match="not of this place"):
        vault.open(sealed, replace(PLACE, owner="another"))


def test_secrets_move_from_local_keys_to_a_service_that_can_open_both() -> None:
    before, during, after = Vault(LocalRing([OLD])), Vault(KeyService(LocalRing([OLD]))), Vault(KeyService())
    sealed = before.seal("secret", PLACE)
    assert during.open(sealed, PLACE) == "secret"
    moved = during.rewrap(sealed, PLACE)
    assert (key_name(moved), after.open(moved, PLACE)) == (KeyService.primary, "secret")
    with pytest.raises(VaultError):
        before.open(moved, PLACE)


class Odd(KeyService):
    """A service that gives what was set."""

    primary = "odd"

    def __init__(self, wrapped: bytes = b"x", key: bytes = b"") -> None:
        super().__init__()
        self.gives = (wrapped, key)

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        return self.gives[0]

    def unwrap(self, name: str, wrapped: bytes, bound: bytes) -> bytes:
        return self.gives[1]


def test_service_that_fails_or_gives_nonsense_is_an_error_without_its_words() -> None:
    ring = KeyService()
    ring.away = True
    with pytest.raises(VaultError, match=r"could not wrap with service/key-1 \(ConnectionError\)") as failed:
        Vault(ring).seal("secret", PLACE)
    assert "canary" not in str(failed.value)
    assert failed.value.__suppress_context__
    for wrapped in (b"", bytes(2**16)):
        with pytest.raises(VaultError, match="there is room for"):
            Vault(Odd(wrapped)).seal("secret", PLACE)
    longest = Vault(Odd(bytes(2**16 - 1), bytes(31)))
    with pytest.raises(VaultError, match="no key of 32 bytes"):
        longest.open(longest.seal("secret", PLACE), PLACE)


def configured(variables: Mapping[str, tuple[str, ...]], ring: str | None) -> Configuration:
    return Configuration(Settings(database_url="postgresql://h/d", landfall_vault_ring=ring), variables)


@pytest.mark.parametrize(
    ("keys", "ring", "said"),
    [
        ((OLD,), "tests.keyrings:service", "LANDFALL_VAULT_KEYS and LANDFALL_VAULT_RING are both set"),
        ((), "no.such.module:ring", "no.such.module:ring cannot be imported (ModuleNotFoundError)"),
        ((), "tests.keyrings:absent", "tests.keyrings:absent cannot be imported (AttributeError)"),
        ((), "tests.keyrings:nothing", "no ring of keys: it needs primary, names, wrap and unwrap"),
        ((), "tests.keyrings:WRAPPED_BYTES", "made no ring of keys (TypeError)"),
        ((), "tests.keyrings:broken", "made no ring of keys (RuntimeError)"),
        ((), "tests.keyrings:refused", "the service has no key of this name"),
        ((), None, "LANDFALL_VAULT_KEYS is not set"),
    ],
)
def test_ring_that_cannot_be_had_is_said_in_one_line(keys: tuple[str, ...], ring: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        vault_of(configured({"LANDFALL_VAULT_KEYS": keys}, ring))
    [problem] = refused.value.problems
    assert said in problem
    assert "canary" not in problem
    assert "AQEB" not in problem


def test_ring_is_made_by_the_factory_that_the_setting_names() -> None:
    without: Mapping[str, tuple[str, ...]] = {"LANDFALL_VAULT_KEYS": ()}
    assert vault_of(configured(without, "tests.keyrings:service")).primary == KeyService.primary
    assert wiring.has_vault(configured(without, "tests.keyrings:service"))
    assert wiring.has_vault(configured({"LANDFALL_VAULT_KEYS": (OLD,)}, None))
    assert not wiring.has_vault(configured(without, None))
