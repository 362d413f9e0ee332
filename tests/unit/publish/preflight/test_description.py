"""What programs and pages read of a platform's posts."""

import json
from dataclasses import replace
from typing import Any

from publish.preflight.contract import AccountFacts
from publish.preflight.description import described
from tests.unit.publish.platforms.test_posting_rules import RULES
from tests.unit.publish.preflight.test_check import RULES as ACME


def test_every_platform_is_described_as_json() -> None:
    for rules in RULES.values():
        document: Any = json.loads(json.dumps(described(rules)))
        assert document["kinds"].keys() == rules.kinds.keys()
        for kind in document["kinds"].values():
            assert kind["options"]["type"] == "object"


def test_account_with_limits_of_its_own() -> None:
    facts = AccountFacts(limits={"text": 30, "seconds": 5}, choices={"privacy": ("none",)}, switched_off=["comments"])
    general: Any = described(ACME)
    own: Any = described(ACME, facts)
    assert general["kinds"]["text"]["text"] == {
        "needed": True,
        "unit": "characters",
        "at_most": 20,
        "hashtags": {"at_most": 1},
        "mentions": {"at_most": 1, "warning_only": True},
        "links": {"at_most": 1},
    }
    assert own["kinds"]["text"]["text"]["at_most"] == 30
    assert own["kinds"]["video"]["files"]["kinds"]["video"]["limits"]["seconds"] == {"at_least": 3, "at_most": 5}
    assert (own["choices"], own["switched_off"]) == ({"privacy": ["none"]}, ["comments"])


def test_what_persons_and_organizations_may_do_is_told_apart() -> None:
    owners: Any = described(RULES["linkedin"])["owners"]
    assert owners["person"]["permissions"] == [["w_member_social"]]
    assert owners["organization"]["permissions"] == [["w_organization_social"]]
    assert owners["organization"]["option_permissions"] == {"first_comment": ["w_organization_social_feed"]}
    assert owners["organization"]["reply_permissions"] == [["w_organization_social_feed"]]
    assert "a person looks and decides" in owners["person"]["notes"][0]
    assert any("administrator" in note for note in owners["organization"]["notes"])
    assert described(ACME)["owners"] == {}


def test_content_types_are_those_of_the_server_where_it_says_them() -> None:
    own: Any = described(ACME, replace(AccountFacts(), content_types=["image/png"]))
    assert own["kinds"]["images"]["files"]["kinds"]["image"]["content_types"] == ["image/png"]
