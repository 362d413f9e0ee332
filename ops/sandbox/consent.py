"""The page on which a person lets an application in, or does not. The same for every platform but its name."""

from collections.abc import Mapping, Sequence
from html import escape

from ops.sandbox.contract import Answer

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 28rem; margin: 4rem auto; padding: 0 1rem; color: #1f2937 }}
label {{ display: block; padding: .25rem 0 }}
button {{ font: inherit; padding: .5rem 1.25rem; margin: 1rem .5rem 0 0 }}
button {{ border-radius: .5rem; border: 1px solid #9ca3af }}
button[value=approve] {{ background: #2563eb; border-color: #2563eb; color: white }}
small {{ color: #6b7280 }}
</style></head><body>
<small>sandbox: nobody's real account is asked</small>
<h1>{title}</h1>
<form method="post">
{hidden}
<p><label>As <select name="account">{accounts}</select></label></p>
<p>It may:</p>
{scopes}
<button name="decision" value="approve">Approve</button><button name="decision" value="deny">Deny</button>
</form></body></html>
"""


def page(
    platform: str, application: str, accounts: Sequence[str], scopes: Sequence[str], hidden: Mapping[str, str]
) -> Answer:
    """Accounts to choose from, scopes to untick, two buttons."""
    return Answer(
        content=_PAGE.format(
            title=escape(f"Let {application} use {platform}?"),
            hidden="\n".join(
                f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden.items()
            ),
            accounts="".join(f"<option>{escape(account)}</option>" for account in accounts),
            scopes="\n".join(
                f'<label><input type="checkbox" name="granted[]" value="{name}" checked> {name}</label>'
                for name in map(escape, scopes)
            ),
        )
    )
