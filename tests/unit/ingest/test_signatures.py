"""The published test vectors, and everything a header can hold."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.accept import accept
from ingest.contract import Delivery
from ingest.errors import Forged, NotConfigured
from ingest.platforms import instagram, tiktok
from ingest.signatures import Hmac, TimestampedHmac, Verified, verify
from ingest.split import split
from schema.configuration import Variable
from tests.recordings import sign

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
REASONS = {"missing", "malformed", "mismatch", "from_the_future"}

META = instagram.PLATFORM.signature
SECRET = "test_app_secret_0123456789abcdef"
HEADER = "x-hub-signature-256"

TIKTOK = tiktok.PLATFORM.signature
TIKTOK_SECRET = "tt_test_secret_0123456789abcdef"
TIKTOK_HEADER = "tiktok-signature"


def meta(
    header: str | None,
    body: bytes,
    instagram_secrets: tuple[str, ...] = (),
    meta_secrets: tuple[str, ...] = (SECRET,),
) -> Verified:
    variables = {"INSTAGRAM_APP_SECRET": instagram_secrets, "META_APP_SECRET": meta_secrets}
    return verify(META, {} if header is None else {HEADER: header}, body, variables, NOW)


def on_tiktok(header: str, body: bytes, now: datetime = NOW, secrets: tuple[str, ...] = (TIKTOK_SECRET,)) -> Verified:
    return verify(TIKTOK, {TIKTOK_HEADER: header}, body, {"TIKTOK_CLIENT_SECRET": secrets}, now)


def refused(check: Any, *arguments: Any) -> str:
    with pytest.raises(Forged) as caught:
        check(*arguments)
    assert caught.value.reason in REASONS
    return caught.value.reason


BODY_A = (
    b'{"object":"instagram","entry":[{"id":"17841400000000001","time":1700000000,"changes":[{"field":"comments",'
    b'"value":{"id":"17900000000000001","text":"hello","from":{"id":"1234567890","username":"alice"},'
    b'"media":{"id":"17800000000000001","media_product_type":"FEED"}}}]}]}'
)
META_VECTORS = {
    # name: (bytes, length, digest), meta.md section 12
    "A, a comment": (BODY_A, 269, "12870cccb9652dc78b8e65907fcc2f51dbcc4363d6bf078e70619494d5d67b33"),
    "B, escapes with lower-case hex": (
        rb'{"text":"\u00e4\u00f6\u00e5 \ud83d\ude00 caf\u00e9"}',
        52,
        "e3eaa7f001b72d1e7a9f1d4cf13db6efeb66d5a3c2d1344c5bf465a346e66da3",
    ),
    "B2, the same text as UTF-8": (
        '{"text":"äöå 😀 café"}'.encode(),
        28,
        "2340372e429041d18ac38b014f79bc1a20086e62f0d359457953f4e8b4986a43",
    ),
    "B3, escapes with upper-case hex": (
        rb'{"text":"\u00E4\u00F6\u00E5 \uD83D\uDE00 caf\u00E9"}',
        52,
        "b099227839f62ef2ab1d8872bafa8af674f5b660b1a18171d6d2a0906da3a4c7",
    ),
    "C, nothing": (b"", 0, "41e8f75a26ef599c5c89e456ec3c0729db143bb9925971cd4dab8c31ea4a95c3"),
    "D, no entries": (
        b'{"object":"page","entry":[]}',
        28,
        "2b7879e7130e7d33e5e5d9551594b85a165ff60d548eca79072ba73ef0f2b8a7",
    ),
    "D2, D and a newline": (
        b'{"object":"page","entry":[]}\n',
        29,
        "5f39d2261e360c3b71b98d422b45896c0dfca03b080bc9274df8762535aef0d3",
    ),
    "D3, D and CR LF": (
        b'{"object":"page","entry":[]}\r\n',
        30,
        "7039cf7a6aa278078bead0e5aa66ab740bc1082c38db0f43184992fac7b69651",
    ),
    "E, escaped slashes": (
        rb'{"permalink":"https:\/\/www.threads.net\/@u\/post\/Pp"}',
        55,
        "64af7ed551ab9e77e133b9c0a87535596e026bf89a92fc94c7773636a0ac47c6",
    ),
    "E2, plain slashes": (
        b'{"permalink":"https://www.threads.net/@u/post/Pp"}',
        50,
        "de8be81af3bda7ec8f4f769ba803a651687eeb6ccd206ceada3c6e00eb28ac82",
    ),
    "F, an escaped at sign": (
        rb'{"text":"mail me: a\u0040b.co"}',
        31,
        "d1ddfd9df876988fd9d2c6f6cec46f2797e7c5f966476971d1c6e26506d756ec",
    ),
    "F2, a plain at sign": (
        b'{"text":"mail me: a@b.co"}',
        26,
        "055a6432b26bae70326823e4853cca0bb8b153a76fb6ac61aff1388f78db830f",
    ),
    "G, not UTF-8": (b"\x00\xff\xfe", 3, "ad2eebfeb6edeebd038340fca3c5d774cc454d1a020d80f197bce34d36025def"),
}
DIGEST_A = META_VECTORS["A, a comment"][2]
OTHER_DIGEST_A = "5e26d19e5d53e9952c3c513d512671a4bb610575cee02161a314a1120cae6d99"  # A', secret `other_secret`
SHA1_A = "dfdb87aae3a558989341e5c9262c65b9f84da845"  # A"


@pytest.mark.parametrize("name", META_VECTORS)
def test_meta_vector_passes_and_no_other_body_does(name: str) -> None:
    body, size, digest = META_VECTORS[name]
    assert len(body) == size
    assert meta(f"sha256={digest}", body) == Verified("META_APP_SECRET#1")
    for other, (other_body, _, _) in META_VECTORS.items():
        if other != name:
            assert refused(meta, f"sha256={digest}", other_body) == "mismatch", other


REFUSED_HEADERS = [
    # header, reason, why
    (None, "missing", "Meta calls checking optional; here it is not"),
    ("", "malformed", "nothing"),
    (DIGEST_A, "malformed", "no prefix"),
    (f"sha256={SHA1_A}", "mismatch", "the legacy digest in the new header"),
    (f"sha1={SHA1_A}", "malformed", "the legacy scheme in the new header"),
    (f"sha256={OTHER_DIGEST_A}", "mismatch", "another app's secret"),
    ("sha256=", "mismatch", "a prefix alone"),
    (f"sha256={DIGEST_A[:-1]}", "mismatch", "a digit short"),
    (f"sha256={DIGEST_A}0", "mismatch", "a digit too many"),
    (f"sha256={DIGEST_A}, sha256={DIGEST_A}", "mismatch", "the header came twice"),
    (f"sha256=sha256={DIGEST_A}", "mismatch", "the prefix twice"),
    (f"sha256 ={DIGEST_A}", "malformed", "a space inside the prefix"),
    (f"sha256={DIGEST_A[:32]} {DIGEST_A[32:]}", "mismatch", "a space inside the digest"),
    ("\u017fha256=" + DIGEST_A, "malformed", "a letter whose upper case is an S"),
    ("sha256=" + DIGEST_A.replace("1", "\uff11"), "mismatch", "full-width digits"),
    ("sha256=\xe4\xf6", "mismatch", "not ASCII"),
    ("sha256=\udcff\udc80", "mismatch", "bytes that are not UTF-8, as aiohttp hands them on"),
    ("sha256=\ud800", "mismatch", "half a surrogate pair that stands for no byte"),
]


@pytest.mark.parametrize(
    ("header", "reason"), [row[:2] for row in REFUSED_HEADERS], ids=[r[2] for r in REFUSED_HEADERS]
)
def test_meta_header_is_refused(header: str | None, reason: str) -> None:
    assert refused(meta, header, BODY_A) == reason


ACCEPTED_HEADERS = [
    # header, why
    (f"sha256={DIGEST_A}", "as meta.md 1.2 has it"),
    (f"sha256={DIGEST_A.upper()}", "upper-case hex"),
    (f"sha256={DIGEST_A[:32]}{DIGEST_A[32:].upper()}", "mixed hex"),
    (f"SHA256={DIGEST_A}", "an upper-case prefix"),
    (f"Sha256={DIGEST_A.upper()}", "a capital, and upper-case hex"),
    (f"  sha256={DIGEST_A}\t", "white space around"),
    (f"sha256= {DIGEST_A}", "white space before the digest"),
]


@pytest.mark.parametrize("header", [row[0] for row in ACCEPTED_HEADERS], ids=[row[1] for row in ACCEPTED_HEADERS])
def test_every_form_of_a_good_meta_header_is_accepted(header: str) -> None:
    assert meta(header, BODY_A) == Verified("META_APP_SECRET#1")


def test_legacy_sha1_header_does_not_count() -> None:
    headers = {"x-hub-signature": f"sha1={SHA1_A}"}
    with pytest.raises(Forged, match="x-hub-signature-256 header is missing"):
        verify(META, headers, BODY_A, {"META_APP_SECRET": (SECRET,)}, NOW)


def test_either_of_the_candidate_secrets_signs() -> None:
    """meta.md 1.2: which of an app's two secrets signs is unconfirmed."""
    header = f"sha256={OTHER_DIGEST_A}"
    assert meta(header, BODY_A, ("other_secret",), (SECRET,)).secret_used == "INSTAGRAM_APP_SECRET#1"
    assert meta(header, BODY_A, (SECRET,), ("other_secret",)).secret_used == "META_APP_SECRET#1"
    assert meta(header, BODY_A, (), ("other_secret",)).secret_used == "META_APP_SECRET#1"


def test_both_secrets_are_good_during_a_rotation() -> None:
    """faults.md E9"""
    old, new = f"sha256={DIGEST_A}", f"sha256={OTHER_DIGEST_A}"
    assert meta(old, BODY_A, (), ("other_secret", SECRET)).secret_used == "META_APP_SECRET#2"
    assert meta(new, BODY_A, (), ("other_secret", SECRET)).secret_used == "META_APP_SECRET#1"
    assert refused(meta, old, BODY_A, (), ("other_secret",)) == "mismatch", "afterwards the old one is not"


@pytest.mark.parametrize("header", [None, f"sha256={DIGEST_A}"], ids=["unsigned", "signed"])
def test_nothing_is_accepted_without_a_secret(header: str | None) -> None:
    with pytest.raises(NotConfigured, match="INSTAGRAM_APP_SECRET or META_APP_SECRET is not set"):
        meta(header, BODY_A, (), ())
    with pytest.raises(NotConfigured):
        verify(META, {} if header is None else {HEADER: header}, BODY_A, {}, NOW)


V1 = (
    b'{"client_key":"awtestkey0001","event":"authorization.removed","create_time":1760000000,'
    b'"user_openid":"-000abcDEF123","content":"{\\"reason\\":1}"}'
)
V5 = b'{"event":"authorization.removed"}'
S1 = "adeee180d8fcb2fa8ebdf9bde902bf7344de4b646a87549b6d92ba5cc7127060"
S5 = "ca897b247d7a88c637eb8e406dd4317babb4d4a76d5de0c5d86c3cbd39a09acc"
TIKTOK_VECTORS = {
    # name: (t, body, s), tiktok.md section 14
    "V1, a removal": (1760000000, V1, S1),
    "V2, a publish": (
        1760000101,
        (
            b'{"client_key":"awtestkey0001","event":"post.publish.complete","create_time":1760000100,'
            b'"user_openid":"-000abcDEF123","content":"{\\"publish_id\\":\\"v_pub_file~v2-1.7556012345678901234\\",'
            b'\\"publish_type\\":\\"DIRECT_POST\\"}"}'
        ),
        "56a1f8fa0707ae4eb6b0c97b4677210780c3efb8100a975b1619b4f2ccf5eeb8",
    ),
    "V3, a visibility": (
        1760000201,
        (
            b'{"client_key":"awtestkey0001","event":"post.publish.no_longer_publicaly_available","create_time":1760000200,'
            b'"user_openid":"-000abcDEF123","content":"{\\"publish_id\\":\\"v_inbox_url~v2.123456789\\",'
            b'\\"post_id\\":\\"7556012345678901234\\",\\"publish_type\\":\\"INBOX_SHARE\\"}"}'
        ),
        "df47d49c4bdf447658167c34d85332a369192b5c293fdd774ffc19dc39e338bb",
    ),
    "V4, UTF-8 and a newline": (
        1760000300,
        (
            '{"event":"post.publish.failed","content":"{\\"reason\\":\\"spam_risk_text\\",\\"note\\":\\"café ☕\\"}"}\n'
        ).encode(),
        "64dd22ef5de9a0e1f73c1649cb8acef27950469943f1aefcfc0bc3c6d54c46d7",
    ),
    "V5, a sample of the page": (1633174587, V5, S5),
    "V6, nothing": (1760000400, b"", "a07b7b7023bf3b1319fde8627976911a3ba3224cfaa582dd9fd6bc08d6fd4199"),
}


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize("name", TIKTOK_VECTORS)
def test_tiktok_vector_passes_and_no_other_body_does(name: str) -> None:
    stamp, body, digest = TIKTOK_VECTORS[name]
    now = moment(stamp)
    assert on_tiktok(f"t={stamp},s={digest}", body, now) == Verified("TIKTOK_CLIENT_SECRET#1", now)
    for other, (_, other_body, _) in TIKTOK_VECTORS.items():
        if other != name:
            assert refused(on_tiktok, f"t={stamp},s={digest}", other_body, now) == "mismatch", other


def test_timestamp_is_signed_too() -> None:
    """tiktok.md 14, negative"""
    other = "26a7baf5585964543542c7c9cb21af81a2aa623ed4fd6a10b214acc253623461"
    assert on_tiktok(f"t=1760000001,s={other}", V1, moment(1760000001)).secret_used == "TIKTOK_CLIENT_SECRET#1"
    assert refused(on_tiktok, f"t=1760000001,s={S1}", V1, moment(1760000001)) == "mismatch"
    assert refused(on_tiktok, f"t=1760000000,s={other}", V1, moment(1760000000)) == "mismatch"


def test_body_with_other_whitespace_is_another_body() -> None:
    """tiktok.md 14, negative"""
    spaced = b'{"event": "authorization.removed"}'
    own = "a9273648f117804465e1ff2d5e4bafdad7eaea6d82a902f8de740c4d3f6da25b"
    now = moment(1633174587)
    assert on_tiktok(f"t=1633174587,s={own}", spaced, now).signed_at == now
    assert refused(on_tiktok, f"t=1633174587,s={S5}", spaced, now) == "mismatch"


TIKTOK_HEADERS = [
    # header, reason or None if it passes, why
    (f"t=1760000000,s={S1}", None, "as the page shows it"),
    (f"s={S1},t=1760000000", None, "nothing promises an order"),
    (f"t=1760000000, s={S1}", None, "a space, as proxies put it"),
    (f"t=1760000000,s={S1},v2=abc", None, "prefixes nobody knows are ignored"),
    (f"t=1760000000,s={S1.upper()}", None, "tiktok.md 2.2 compares in lower case"),
    (f"T=1760000000,S={S1}", None, "upper-case names"),
    (f" t = 1760000000 , s = {S1} ", None, "white space around every part"),
    (f"t=1760000000,s={S1}=", "mismatch", "parts are split at their first ="),
    ("", "malformed", "nothing"),
    ("t=1760000000", "malformed", "no signature"),
    (f"s={S1}", "malformed", "no time"),
    (S1, "malformed", "a digest alone"),
    (f"sha256={S1}", "malformed", "another platform's form"),
    (f"t=,s={S1}", "malformed", "an empty time"),
    ("t=1760000000,s=", "malformed", "an empty signature"),
    (f"t=-1760000000,s={S1}", "malformed", "a negative time"),
    (f"t=1760000000.0,s={S1}", "malformed", "a fraction"),
    (f"t=1.76e9,s={S1}", "malformed", "an exponent"),
    (f"t=0x68e77800,s={S1}", "malformed", "hexadecimal"),
    (f"t=١٧٦٠٠٠٠٠٠٠,s={S1}", "malformed", "digits, but not ASCII"),
    (f"t=²,s={S1}", "malformed", "a digit that int() refuses"),
    (f"t={'9' * 12},s={S1}", "malformed", "further than a date can be"),
    (f"t={'9' * 5000},s={S1}", "malformed", "more digits than int() takes"),
    (f"t=1760000000,s={SHA1_A}", "mismatch", "SHA1"),
    ("t=1760000000,s=\xe4", "mismatch", "not ASCII"),
    ("t=1760000000,s=\udcff", "mismatch", "a byte that is not UTF-8"),
    ("t=1760000000,s=\ud800", "mismatch", "half a surrogate pair that stands for no byte"),
]


@pytest.mark.parametrize(
    ("header", "reason"), [row[:2] for row in TIKTOK_HEADERS], ids=[row[2] for row in TIKTOK_HEADERS]
)
def test_tiktok_header(header: str, reason: str | None) -> None:
    now = moment(1760000000)
    if reason is None:
        assert on_tiktok(header, V1, now).signed_at == now
    else:
        assert refused(on_tiktok, header, V1, now) == reason


def test_tiktok_secrets_rotate() -> None:
    header, now = f"t=1760000000,s={S1}", moment(1760000000)
    assert on_tiktok(header, V1, now, ("new", TIKTOK_SECRET)).secret_used == "TIKTOK_CLIENT_SECRET#2"
    assert refused(on_tiktok, header, V1, now, ("new",)) == "mismatch"
    with pytest.raises(NotConfigured, match="TIKTOK_CLIENT_SECRET is not set"):
        on_tiktok(header, V1, now, ())


CLOCK = [
    # age of the signature, what becomes of the delivery, why
    (timedelta(0), "accepted", "sent just now"),
    (timedelta(hours=1), "accepted", "a retry: 300 s would reject it, and whether retries are signed anew is unknown"),
    (timedelta(hours=71), "accepted", "the last retries come after 72 h"),
    (timedelta(hours=72, seconds=299), "accepted", "72 h and as much skew as is forgiven"),
    (timedelta(hours=72, seconds=301), "quarantined", "no retry comes this late"),
    (timedelta(days=8), "quarantined", "genuine, but nobody sends it now: kept, and not projected"),
    (-timedelta(seconds=200), "accepted", "our clock is a little late"),
    (-timedelta(seconds=300), "accepted", "the last second that is forgiven"),
    (-timedelta(seconds=301), "refused", "the first that is not"),
    (-timedelta(hours=1), "refused", "one of the two clocks is wrong"),
]


@pytest.mark.parametrize(("age", "outcome"), [row[:2] for row in CLOCK], ids=[row[2] for row in CLOCK])
def test_age_of_a_signature(age: timedelta, outcome: str) -> None:
    """faults.md F4"""
    signed_at = NOW - age
    header = sign(TIKTOK, V1, TIKTOK_SECRET, int(signed_at.timestamp()))
    delivery, variables = Delivery(header, V1), {"TIKTOK_CLIENT_SECRET": (TIKTOK_SECRET,)}
    if outcome == "refused":
        assert refused(accept, "tiktok", tiktok.PLATFORM, delivery, variables, NOW) == "from_the_future"
        return
    received = accept("tiktok", tiktok.PLATFORM, delivery, variables, NOW)
    assert (received.verdict, received.signed_at) == (outcome, signed_at)
    found = split(tiktok.PLATFORM, received, variables)
    assert found.verdict == outcome
    [event] = found.events
    if outcome == "accepted":
        assert (event.defect, found.reason) == (None, None)
    else:
        assert event.defect == found.reason == "signature older than the platform retries"


def test_forged_signature_is_not_told_about_its_time() -> None:
    """Who cannot sign learns nothing of our clock."""
    header = sign(TIKTOK, V1, "wrong", int(NOW.timestamp()) + 7200)
    assert refused(on_tiktok, header[TIKTOK_HEADER], V1) == "mismatch"


anything = st.text(st.characters(codec=None, categories=None), max_size=120)
almost = st.builds(
    lambda head, tail: head + tail,
    st.sampled_from(["sha256=", f"sha256={DIGEST_A}", "t=1760000000,s=", "t=", "s=", f"t=1767268800,s={S1}", ",", "="]),
    anything,
)


@given(header=anything | almost, body=st.binary(max_size=40))
@example(header="sha256=\ud800", body=b"")
@example(header="t=1,s=\udfff", body=b"")
@example(header="t=" + "9" * 11 + ",s=0", body=b"")
@pytest.mark.parametrize("check", [meta, on_tiktok])
def test_any_header_is_refused_with_one_of_the_known_reasons(check: Any, header: str, body: bytes) -> None:
    """faults.md E9: 401, never 500"""
    assert refused(check, header, body)


ONE = Variable("ONE", "nowhere")
SCHEMES = [
    # scheme, what the digest is of, header for a digest, why
    (Hmac("x", (ONE,)), b"body", lambda d: d.hex(), "hex alone"),
    (Hmac("x", (ONE,), prefix="v0=", signed_prefix=b"v0:"), b"v0:body", lambda d: f"v0={d.hex()}", "both prefixes"),
    (Hmac("x", (ONE,), base64=True), b"body", lambda d: base64.b64encode(d).decode(), "base64"),
    (Hmac("x", (ONE,), prefix="p=", prefix_optional=True), b"body", lambda d: d.hex(), "an optional prefix left out"),
    (Hmac("x", (ONE,), prefix="p=", prefix_optional=True), b"body", lambda d: f"p={d.hex()}", "an optional prefix"),
    (
        TimestampedHmac("x", (ONE,), horizon=3600),
        b"1767268800.body",
        lambda d: f"t=1767268800,s={d.hex()}",
        "with a time",
    ),
]


@pytest.mark.parametrize(("scheme", "message", "header"), [row[:3] for row in SCHEMES], ids=[row[3] for row in SCHEMES])
def test_scheme_signs_what_it_says(scheme: Any, message: bytes, header: Any) -> None:
    digest = hmac.new(b"key", message, hashlib.sha256).digest()
    assert verify(scheme, {"x": header(digest)}, b"body", {"ONE": ("key",)}, NOW).secret_used == "ONE#1"
    for wrong in (
        hmac.new(b"other", message, hashlib.sha256).digest(),
        hmac.new(b"key", b"x", hashlib.sha256).digest(),
    ):
        assert refused(verify, scheme, {"x": header(wrong)}, b"body", {"ONE": ("key",)}, NOW) == "mismatch"


@pytest.mark.parametrize(("scheme", "message", "header"), [row[:3] for row in SCHEMES], ids=[row[3] for row in SCHEMES])
def test_case_counts_in_base64_and_in_nothing_else(scheme: Any, message: bytes, header: Any) -> None:
    good = header(hmac.new(b"key", message, hashlib.sha256).digest())
    variables = {"ONE": ("key",)}
    assert verify(scheme, {"x": f" \t{good} "}, b"body", variables, NOW).secret_used == "ONE#1"
    for other in (good.upper(), good.lower(), good.swapcase()):
        if isinstance(scheme, Hmac) and scheme.base64:
            assert refused(verify, scheme, {"x": other}, b"body", variables, NOW) == "mismatch"
        else:
            assert verify(scheme, {"x": other}, b"body", variables, NOW).secret_used == "ONE#1"
