"""The driver, with real machines: each post becomes visible once, whatever happens on the way."""

from tests.posting import Posting


async def test_image_is_published_once_and_its_address_is_known(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("instagram")
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    id_ = await publishing.target(account, "Tea", media=[picture])
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    [post] = await publishing.shown("instagram")
    assert (row["state"], row["platform_post_id"], post["text"]) == ("published", post["id"], "Tea")
    assert row["platform_post_url"].startswith("https://www.instagram.com/p/")
