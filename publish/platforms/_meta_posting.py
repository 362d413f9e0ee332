"""What the errors of Graph mean while posting, for every platform on it: ``meta.md`` 7.4, 7.5 and 9.5."""

import re

from ops.runtime.graph_api import AS_A_PAGE, AT_THE_PLATFORM, TOO_FEW_VIEWERS
from ops.runtime.platform_protocol import Response
from publish.preflight.error_catalogue import ErrorClass, ErrorRule, ReportedError

C = ErrorClass
UNKNOWN = ErrorClass.UNKNOWN_OUTCOME

RECONNECT = "Connect the account again and leave all permissions ticked."
AT_PLATFORM = "The owner logs in at the platform and does what it asks for there; then post it again."
BY_ITSELF = "It is tried again by itself."
NEW_ONE = "It is uploaded again by itself, a few times."
OTHER_FILE = "Change or replace the file."
OTHER_TEXT = "Change the post."


def read_error(response: Response) -> ReportedError | None:
    """Read an error of Graph, or of the upload host (``meta.md`` 8.4). A response with a 2xx and no error is none."""
    content = response.content if isinstance(response.content, dict) else {}
    error = content.get("error")
    if isinstance(error, dict) and error:
        said = error.get("error_subcode", error.get("subcode"))
        given = " ".join(str(error.get(name) or "") for name in ("message", "error_user_title", "error_user_msg"))
        return ReportedError(
            _number(error.get("code")),
            _number(said),
            given.strip().lower(),
            transient=error.get("is_transient") is True,
        )
    upload = content.get("debug_info")
    if isinstance(upload, dict) and content.get("success") is not True:
        passes = upload.get("retriable") is True
        return ReportedError(
            str(upload.get("type") or ""), text=str(upload.get("message") or "").lower(), transient=passes
        )
    return None if response.ok else ReportedError(own=isinstance(response.content, dict))


def reported(status_text: str) -> ReportedError:
    """Return the error that a container or a file reports: a code of seven digits, or a word (``meta.md`` 8.1, 9.1)."""
    found = re.search(r"\b[0-9]{7}\b", status_text)
    word = re.search(r"\b[A-Z]+(?:_[A-Z]+)+\b|^UNKNOWN$", status_text)
    code = word[0] if word is not None else ""
    return ReportedError(code, found[0] if found is not None else "", status_text.lower())


def _number(value: object) -> str:
    """Return a code, sent as a number or as text; empty for none, and for 0, which stands for none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return "" if text == "0" else text


REFUSED = (
    ErrorRule(
        C.ACCOUNT_STOPPED,
        "The platform takes the posts of this account for spam and holds them back.",
        AT_PLATFORM,
        "meta.md 7.4",
        subcodes=["2207051"],
        on_commit=UNKNOWN,
    ),
    ErrorRule(
        C.AGAIN,
        "The platform had trouble.",
        BY_ITSELF,
        "meta.md 7.4",
        subcodes=["2207001"],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.AGAIN,
        "The platform took too long to fetch the file.",
        BY_ITSELF,
        "meta.md 7.4",
        subcodes=["2207003"],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.ANEW,
        "What was uploaded is no longer there, or could not be processed.",
        NEW_ONE,
        "meta.md 7.4",
        subcodes=["2207020", "2207032", "2207053", "2207082", "2207085"],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.CONTENT,
        "The moment chosen for the cover is outside of the video.",
        "Choose another moment.",
        "meta.md 7.4",
        subcodes=["2207057"],
    ),
    ErrorRule(
        C.QUOTA,
        "The account has published all that the platform allows in 24 hours.",
        "Publish it later.",
        "meta.md 7.4",
        subcodes=["2207042"],
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.ANEW,
        "The platform does not find what was uploaded.",
        NEW_ONE,
        "meta.md 7.4",
        subcodes=["2207006"],
        on_commit=UNKNOWN,
    ),
    ErrorRule(
        C.NOT_READY,
        "The platform does not find yet what was uploaded.",
        BY_ITSELF,
        "meta.md 7.5",
        subcodes=["2207008"],
        on_repeat=UNKNOWN,
        retryable=True,
        wait_seconds=30,
    ),
    ErrorRule(
        C.NOT_READY,
        "The platform does not find yet what was uploaded.",
        BY_ITSELF,
        "meta.md 7.5",
        subcodes=["4279009"],
        on_repeat=UNKNOWN,
        retryable=True,
        wait_seconds=10,
    ),
    ErrorRule(
        C.NOT_READY,
        "The platform is still processing the file.",
        BY_ITSELF,
        "meta.md 7.5",
        subcodes=["2207027"],
        retryable=True,
        wait_seconds=60,
    ),
    ErrorRule(
        C.ACCOUNT_STOPPED,
        "The platform has restricted this account.",
        AT_PLATFORM,
        "meta.md 7.4",
        subcodes=["2207050", "4279013"],
    ),
    ErrorRule(
        C.AGAIN,
        "The platform could not fetch a file from Landfall.",
        BY_ITSELF,
        "meta.md 7.4",
        subcodes=["2207052", "2207077"],
        on_commit=UNKNOWN,
        retryable=True,
        wait_seconds=60,
    ),
    ErrorRule(
        C.MEDIA,
        "The platform does not take a file: its type, size, shape or coding does not fit.",
        OTHER_FILE,
        "meta.md 7.4",
        subcodes=["2207023", "2207026", "2207004", "2207005", "2207009"],
    ),
    ErrorRule(
        C.CONTENT,
        "The platform does not take the post: too many or too few files, too long a text, or tags that do not fit.",
        OTHER_TEXT,
        "meta.md 7.4",
        subcodes=["2207028", "2207035", "2207036", "2207037", "2207040", "2207010"],
    ),
    ErrorRule(
        C.CONTENT,
        "This account may not publish trial reels.",
        "Publish it as an ordinary reel.",
        "meta.md 7.4",
        subcodes=["2207081"],
    ),
    ErrorRule(
        C.NOT_DONE,
        "The platform has no figures of this object.",
        "There is nothing to do.",
        "meta.md 7.4",
        subcodes=["2108006"],
    ),
    ErrorRule(
        C.MEDIA, "The photo is larger than 4 MB, or no JPEG or PNG.", OTHER_FILE, "meta.md 9.5", either=["1366046"]
    ),
    ErrorRule(
        C.CONTENT,
        "The platform says that these photos were posted before.",
        "Look at the account; to post them once more, upload them again.",
        "meta.md 9.5",
        either=["1366051"],
        on_commit=UNKNOWN,
    ),
    ErrorRule(
        C.WAIT,
        "The account posts too fast for the platform.",
        BY_ITSELF,
        "meta.md 9.5",
        either=["1390008"],
        on_commit=UNKNOWN,
        retryable=True,
        wait_seconds=900,
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.ACCOUNT_STOPPED,
        "The platform has limited this account because of its rules.",
        AT_PLATFORM,
        "meta.md 9.5",
        either=["1346003", "1404102", "1404112"],
    ),
    ErrorRule(
        C.ACCOUNT_STOPPED,
        "The platform wants the owner of the account to confirm who they are.",
        AT_PLATFORM,
        "meta.md 9.5",
        either=["1404006", "1404078", "4854002"],
    ),
    ErrorRule(
        C.AGAIN,
        "The platform is not available for a while.",
        BY_ITSELF,
        "meta.md 9.5",
        either=["1363047", "1609010"],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.CONTENT, "The platform does not take the link.", OTHER_TEXT, "meta.md 9.5", either=["1609008", "2061006"]
    ),
    ErrorRule(
        C.MEDIA, "The platform does not take the file.", OTHER_FILE, "meta.md 9.5", either=["1349125", "2069019"]
    ),
    ErrorRule(
        C.CONTENT, "The platform could not read the page that is linked.", OTHER_TEXT, "meta.md 7.4", either=["1609005"]
    ),
    ErrorRule(
        C.CONTENT,
        "The post has more than 5 different links.",
        "Leave some out.",
        "meta.md 9.1",
        text="threads_api__link_limit_exceeded",
    ),
    ErrorRule(
        C.CONTENT,
        "The platform does not know this place.",
        "Choose another place, or none.",
        "meta.md 8.2",
        text="instagram_platform_api__invalid_location_id",
    ),
)
"""Errors by a subcode or a word, which say more than the code."""

TOKENS = (
    ErrorRule(
        C.ACCOUNT_STOPPED,
        "The platform holds the account back until its owner has confirmed something there.",
        AT_PLATFORM,
        "meta.md 7.4",
        codes=["102", "190"],
        subcodes=[str(subcode) for subcode in AT_THE_PLATFORM],
    ),
    *(
        ErrorRule(
            C.PERMISSION,
            "The platform wants this to be done in the name of the page, and a right on the page is missing.",
            "Have an administrator of the page give you that right at the platform; then post it again.",
            "meta.md 7.4",
            codes=["102", "190"],
            text=words,
            user_code="scope_not_authorized",
        )
        for words in AS_A_PAGE
    ),
    ErrorRule(
        C.TOKEN,
        "The platform no longer accepts this connection.",
        "Connect the account again.",
        "meta.md 7.4",
        codes=["102", "190"],
        user_code="access_token_invalid",
    ),
    ErrorRule(
        C.NOT_DONE,
        "The platform has no figures of this object yet.",
        "There is nothing to do.",
        "meta.md 7.4",
        codes=["10"],
        text=TOO_FEW_VIEWERS,
    ),
    ErrorRule(
        C.PERMISSION,
        "A permission is missing.",
        RECONNECT,
        "meta.md 7.4",
        codes=["10", *map(str, range(200, 300))],
        user_code="scope_not_authorized",
    ),
    ErrorRule(
        C.PERMISSION,
        "A permission is missing for videos.",
        RECONNECT,
        "meta.md 9.5",
        codes=["100"],
        text="no permission to publish the video",
        user_code="scope_not_authorized",
    ),
)
"""Errors about the token and permissions: nothing was done (``meta.md`` 7.5)."""

GENERAL = (
    ErrorRule(
        C.CONTENT,
        "The platform says that the same was posted just before.",
        "Look at the account; to post it once more, change the text.",
        "meta.md 7.4",
        codes=["506"],
        on_commit=UNKNOWN,
    ),
    ErrorRule(
        C.ACCOUNT_STOPPED,
        "The platform has blocked this for a while because of its rules.",
        AT_PLATFORM,
        "meta.md 7.4",
        codes=["368"],
        on_commit=UNKNOWN,
    ),
    ErrorRule(
        C.WAIT,
        "The account has asked the platform for too much in a short time.",
        BY_ITSELF,
        "meta.md 7.4",
        codes=["4", "17", "32", "341", "613", "80001", "80002", "80006"],
        on_commit=UNKNOWN,
        retryable=True,
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.AGAIN,
        "The platform had trouble.",
        BY_ITSELF,
        "meta.md 7.5",
        codes=["1", "2"],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.AGAIN,
        "The platform had trouble.",
        BY_ITSELF,
        "meta.md 7.5",
        transient=True,
        on_commit=UNKNOWN,
        retryable=True,
        known=False,
    ),
    ErrorRule(
        C.AGAIN,
        "The platform does not find the object, or does not show it.",
        "Look whether it was deleted there, and whether this account may see it.",
        "meta.md 7.4",
        codes=["100"],
        subcodes=["33"],
        on_commit=C.NOT_DONE,
        on_repeat=UNKNOWN,
        retryable=True,
        wait_seconds=60,
    ),
    ErrorRule(C.CONTENT, "The platform does not take the post as it is.", OTHER_TEXT, "meta.md 7.5", codes=["100"]),
    ErrorRule(
        C.MEDIA,
        "The platform does not take a file.",
        OTHER_FILE,
        "meta.md 7.5",
        codes=["352", "36000", "36001", "36003"],
    ),
    ErrorRule(C.CONTENT, "The text is too long.", "Shorten it.", "meta.md 7.5", codes=["36004"]),
    ErrorRule(
        C.APPLICATION,
        "The platform does not let this application do that.",
        "Ask the operator to look at the application's settings at the platform.",
        "meta.md 7.4",
        codes=["3"],
        on_commit=UNKNOWN,
    ),
    ErrorRule(
        C.AGAIN,
        "The upload stopped before its end.",
        BY_ITSELF,
        "meta.md 9.2",
        codes=["OffsetInvalidError", "PartialRequestError"],
        retryable=True,
    ),
    ErrorRule(
        C.MEDIA, "The platform could not process the file.", OTHER_FILE, "meta.md 9.2", codes=["ProcessingFailedError"]
    ),
    ErrorRule(
        C.WAIT,
        "The account has asked the platform for too much in a short time.",
        BY_ITSELF,
        "meta.md 7.4",
        codes=[""],
        statuses=[401, 429],
        on_commit=UNKNOWN,
        retryable=True,
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.AGAIN,
        "The platform had trouble.",
        BY_ITSELF,
        "meta.md 7.5",
        codes=[""],
        statuses=[500, 502, 503, 504],
        on_commit=UNKNOWN,
        retryable=True,
    ),
)
"""Errors by their code alone, and those without one."""

RULES = (*REFUSED, *TOKENS, *GENERAL)
