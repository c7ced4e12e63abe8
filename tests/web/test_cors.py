"""Which rules a bucket has: its category's, its project's, or none at all."""

from gateway.store.buckets import Bucket
from gateway.web.cors import cors_headers, rules_of

PAGE = "https://app.example"


async def test_a_policys_bucket_has_its_categorys_rules_and_a_clients_one_its_projects(services):
    await services.store.buckets.create(Bucket("made", "demo", "made", "local", "made", "", "client", 1))
    await services.store.buckets.create(Bucket("bare", "other", "bare", "local", "bare", "", "client", 1))
    rules = services.rulebook.rules.policies, services.store.buckets
    assert len(rules_of(*rules, "demo-media")) == 1
    assert list(rules_of(*rules, "made")) == list(rules_of(*rules, "demo-media"))
    for name in ("bare", "other-media", "nowhere", None):
        assert list(rules_of(*rules, name)) == []


async def test_an_answer_varies_by_origin_wherever_another_origin_would_get_another_one(services):
    rules = services.rulebook.rules.policies, services.store.buckets
    told = dict(cors_headers(*rules, "demo-media", "GET", PAGE))
    assert told["Access-Control-Allow-Origin"] == PAGE
    assert "ETag" in told["Access-Control-Expose-Headers"]
    for origin in (None, "https://evil.example", "null", "https://app.example.evil", "https://app.example\r\nx: y"):
        assert cors_headers(*rules, "demo-media", "GET", origin) == [("Vary", "Origin")]
    assert cors_headers(*rules, "demo-media", "PATCH", PAGE) == [("Vary", "Origin")]
    assert cors_headers(*rules, "other-media", "GET", PAGE) == []
