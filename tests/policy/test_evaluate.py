"""May they? Refusals get more tests than permissions."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from random import Random

import pytest

from gateway.policy.evaluate import NO_CONTEXT, Context, Resource, Rules
from gateway.policy.model import (
    Category,
    Conditions,
    Effect,
    Identity,
    PolicySet,
    Principal,
    Project,
    Role,
    Statement,
)
from gateway.policy.roles import ACTIONS, LISTINGS
from tests.policy import reference

MEDIA = Category("demo", "media", "demo-media", "local", "demo-media")
AVATARS = Category("demo", "avatars", "demo-avatars", "local", "demo-avatars", public=True)
NAMES = {
    "ops": Role.ADMIN,
    "backend": Role.SERVICE,
    "sara": Role.UPLOADER,
    "bob": Role.UPLOADER,
    "dashboard": Role.READER,
}
PRINCIPALS = {name: Principal("demo", name, role) for name, role in NAMES.items()}


def identity_of(name: str) -> Identity:
    return Identity(PRINCIPALS[name], name)


OPS, BACKEND, SARA, BOB, DASHBOARD = map(identity_of, PRINCIPALS)
END_USER = Identity(PRINCIPALS["backend"], "lea", session=True)
FOR_LEA = replace(BACKEND, uploader="lea")
STRANGER = Identity(Principal("other", "ops", Role.ADMIN), "ops")
OTHER = Project("other", {}, {"ops": STRANGER.principal}, (), "local")


def statement(effect: str, who: str, action: str, resource: str, conditions: Conditions | None = None) -> Statement:
    return Statement("statements.0", Effect(effect), (who,), (action,), (resource,), conditions or Conditions(), line=7)


def rules_with(*statements: Statement) -> Rules:
    demo = Project("demo", {"media": MEDIA, "avatars": AVATARS}, PRINCIPALS, (), "local", statements)
    return Rules(PolicySet((demo, OTHER)))


RULES = rules_with()


def on(key: str | None = None, owner: str | None = None, bucket: str | None = "demo-media", **more: str) -> Resource:
    return Resource("demo", bucket, key, owner, **more)


def allowed(identity: Identity | None, action: str, resource: Resource, rules: Rules = RULES) -> bool:
    return rules.decide(identity, action, resource).allowed


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:PutBucketWebsite"])
def test_an_admin_may_do_everything_in_its_project(action):
    assert allowed(OPS, action, on("a/b", "sara"))


@pytest.mark.parametrize("project", ["other", "dem", "demo ", "Demo", "", None])
def test_nothing_is_allowed_outside_the_own_project(project):
    assert not RULES.decide(OPS, "s3:GetObject", Resource(project, "demo-media", "a", "ops")).allowed


@pytest.mark.parametrize("action", ["", "GetObject", "iam:CreateUser", "S3:GetObject", "*", "sts:AssumeRole"])
def test_what_is_no_s3_action_is_denied_to_admins_too(action):
    assert not allowed(OPS, action, on("a", "ops"))


@pytest.mark.parametrize("action", sorted(set(ACTIONS) - {"s3:GetObject"}))
@pytest.mark.parametrize("bucket", ["demo-media", "demo-avatars"])
@pytest.mark.parametrize("key", [None, "a"])
def test_anonymous_requests_may_nothing_but_read_public_objects(action, bucket, key):
    assert not allowed(None, action, on(key, "sara", bucket))


def test_everybody_reads_objects_of_a_public_category():
    for identity in (None, STRANGER, SARA, BOB, END_USER, DASHBOARD):
        assert allowed(identity, "s3:GetObject", on("a", "lea", "demo-avatars"))
    assert not allowed(None, "s3:GetObject", on("a", "lea"))
    assert not allowed(None, "s3:GetObject", on(None, None, "demo-avatars"))


def test_an_uploader_reaches_own_objects_and_free_keys():
    assert allowed(SARA, "s3:GetObject", on("a", "sara"))
    assert allowed(SARA, "s3:DeleteObject", on("a", "sara"))
    assert allowed(SARA, "s3:PutObject", on("a", "sara"))
    assert allowed(SARA, "s3:PutObject", on("a"))


@pytest.mark.parametrize("owner", ["bob", "ops", "backend", "Sara", "sara ", ""])
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:PutObjectTagging"])
def test_an_uploader_reaches_nobody_elses_objects(owner, action):
    assert not allowed(SARA, action, on("a", owner))


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:DeleteObject", "s3:GetObjectAttributes"])
def test_what_is_not_there_is_not_an_uploaders(action):
    assert not allowed(SARA, action, on("a"))


def test_a_service_reads_everything_and_changes_what_it_stored_for_the_same_end_user():
    assert allowed(BACKEND, "s3:GetObject", on("a", "lea"))
    assert allowed(FOR_LEA, "s3:PutObject", on("a", "lea"))
    assert not allowed(BACKEND, "s3:PutObject", on("a", "lea"))
    assert not allowed(FOR_LEA, "s3:PutObject", on("a", "mina"))
    assert not allowed(BACKEND, "s3:DeleteObject", on("a", "lea"))


def test_a_service_goes_on_with_the_uploads_that_it_began_for_others():
    assert allowed(BACKEND, "s3:PutObject", on("a", "lea", initiator="backend"))
    assert not allowed(BACKEND, "s3:PutObject", on("a", "lea", initiator="backend/lea"))
    assert not allowed(SARA, "s3:PutObject", on("a", "lea", initiator="backend"))


def test_an_end_users_session_has_an_uploaders_rights_and_not_the_services():
    assert allowed(END_USER, "s3:GetObject", on("a", "lea"))
    assert not allowed(END_USER, "s3:GetObject", on("a", "mina"))
    assert not allowed(END_USER, "s3:GetObject", on("a", "backend"))
    assert not allowed(END_USER, "sts:AssumeRole", Resource("demo"))


def test_a_reader_reads_and_lists_and_changes_nothing():
    assert allowed(DASHBOARD, "s3:GetObject", on("a", "lea"))
    assert allowed(DASHBOARD, "s3:ListBucket", on("a", "lea"))
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"):
        assert not allowed(DASHBOARD, action, on("a", "dashboard"))


def test_a_listing_may_begin_and_shows_own_entries():
    for action in LISTINGS:
        assert allowed(SARA, action, on())
        assert allowed(SARA, action, on("a", "sara"))
        assert not allowed(SARA, action, on("a", "bob"))
        assert not allowed(SARA, action, on("a"))


def test_the_statement_that_decides_is_told():
    given_ = statement("allow", "backend", "s3:DeleteObject", "demo-media/tmp/*")
    decision = rules_with(given_).decide(BACKEND, "s3:DeleteObject", on("tmp/x", "lea"))
    assert decision.allowed
    assert decision.statement is given_
    assert "statements.0" in decision.reason


@pytest.mark.parametrize("key", ["tmpx", "tmp", "Tmp/x", "a/tmp/x", "media/tmp/x"])
def test_a_grant_on_a_prefix_reaches_its_siblings_not(key):
    rules = rules_with(statement("allow", "backend", "s3:DeleteObject", "demo-media/tmp/*"))
    assert not allowed(BACKEND, "s3:DeleteObject", on(key, "lea"), rules)


@pytest.mark.parametrize("bucket", ["demo-avatars", "demo-media2", "x-demo-media"])
def test_a_grant_on_a_bucket_reaches_no_other(bucket):
    rules = rules_with(statement("allow", "backend", "s3:*", "demo-media/*"))
    assert not allowed(BACKEND, "s3:DeleteObject", on("a", "lea", bucket), rules)


def test_a_denial_wins_over_role_public_and_grant():
    rules = rules_with(
        statement("deny", "*", "s3:GetObject", "demo-avatars/secret/*"),
        statement("allow", "sara", "s3:GetObject", "demo-avatars/*"),
    )
    for identity in (None, STRANGER, OPS, SARA, BACKEND, END_USER):
        assert not allowed(identity, "s3:GetObject", on("secret/a", "sara", "demo-avatars"), rules)
    assert allowed(None, "s3:GetObject", on("open/a", "sara", "demo-avatars"), rules)


def test_a_denial_of_anonymous_reads_leaves_the_signed_ones():
    rules = rules_with(statement("deny", "anonymous", "s3:GetObject", "demo-avatars/members/*"))
    assert not allowed(None, "s3:GetObject", on("members/a", "sara", "demo-avatars"), rules)
    assert not allowed(STRANGER, "s3:GetObject", on("members/a", "sara", "demo-avatars"), rules)
    assert allowed(BOB, "s3:GetObject", on("members/a", "sara", "demo-avatars"), rules)


def test_what_is_allowed_to_a_service_is_not_allowed_to_its_end_users():
    rules = rules_with(statement("allow", "backend", "s3:DeleteObject", "*"))
    assert allowed(BACKEND, "s3:DeleteObject", on("a", "mina"), rules)
    assert not allowed(END_USER, "s3:DeleteObject", on("a", "mina"), rules)


def test_what_is_denied_to_a_service_is_denied_to_its_end_users():
    rules = rules_with(statement("deny", "backend", "s3:PutObject", "*"))
    assert not allowed(END_USER, "s3:PutObject", on("a"), rules)
    assert allowed(SARA, "s3:PutObject", on("a"), rules)


@pytest.mark.parametrize(("who", "lea", "mina"), [("backend/*", True, True), ("backend/lea", True, False)])
def test_end_users_are_named_by_their_service(who, lea, mina):
    rules = rules_with(statement("allow", who, "s3:GetObject", "demo-media/shared/*"))
    shared = on("shared/a", "ops")
    assert allowed(END_USER, "s3:GetObject", shared, rules) is lea
    assert allowed(replace(END_USER, uploader="mina"), "s3:GetObject", shared, rules) is mina
    assert not allowed(SARA, "s3:GetObject", shared, rules)


@pytest.mark.parametrize("identity", [END_USER, SARA, OPS, DASHBOARD])
@pytest.mark.parametrize("action", ["*", "sts:*", "sts:AssumeRole"])
def test_no_statement_lets_anybody_but_a_service_begin_sessions(identity, action):
    """A session that may do everything would outlive its end, and store in everybody's name."""
    rules = rules_with(statement("allow", "*", action, "*"))
    assert not allowed(identity, "sts:AssumeRole", on(bucket=None), rules)
    assert allowed(BACKEND, "sts:AssumeRole", on(bucket=None), rules)
    denied = rules_with(statement("deny", "backend", action, "*"))
    assert not allowed(BACKEND, "sts:AssumeRole", on(bucket=None), denied)


def test_an_allowance_for_all_means_nobody_without_a_signature():
    rules = rules_with(statement("allow", "*", "s3:GetObject", "*"))
    assert allowed(SARA, "s3:GetObject", on("a", "bob"), rules)
    assert not allowed(None, "s3:GetObject", on("a", "bob"), rules)
    assert not allowed(STRANGER, "s3:GetObject", on("a", "bob"), rules)


OFFICE = (ip_network("10.1.0.0/16"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("address", "inside"),
    [("10.1.2.3", True), ("10.2.0.1", False), ("2001:db8::1", True), ("::1", False), (None, False)],
)
def test_a_permission_by_address_needs_the_address(address, inside):
    context = Context(ip_address(address) if address else None)
    only = rules_with(statement("allow", "sara", "s3:GetObject", "*", Conditions(source_ip=OFFICE)))
    assert only.decide(SARA, "s3:GetObject", on("a", "bob"), context).allowed is inside


@pytest.mark.parametrize(("address", "denied"), [("10.1.2.3", False), ("10.2.0.1", True), (None, True)])
def test_a_denial_from_elsewhere_also_holds_where_nobody_knows_from_where(address, denied):
    context = Context(ip_address(address) if address else None)
    rules = rules_with(statement("deny", "*", "s3:*", "*", Conditions(not_source_ip=OFFICE)))
    assert rules.decide(OPS, "s3:GetObject", on("a", "bob"), context).allowed is not denied
    assert rules.asks_context(OPS, "demo")
    assert not RULES.asks_context(OPS, "demo")


def test_a_denial_of_plain_http():
    rules = rules_with(statement("deny", "*", "s3:*", "*", Conditions(secure_transport=False)))
    assert not rules.decide(OPS, "s3:GetObject", on("a", "bob"), Context(secure_transport=False)).allowed
    assert rules.decide(OPS, "s3:GetObject", on("a", "bob"), Context(secure_transport=True)).allowed


def test_a_listing_that_is_allowed_below_a_prefix_shows_that_and_own_entries():
    rules = rules_with(statement("allow", "sara", "s3:ListBucket", "demo-media", Conditions(prefix=("alice/",))))
    assert allowed(SARA, "s3:ListBucket", on("alice/a", "bob"), rules)
    assert not allowed(SARA, "s3:ListBucket", on("alice-private/a", "bob"), rules)
    assert allowed(SARA, "s3:ListBucket", on("zoe/a", "sara"), rules)


NARROW = (
    Statement("Sid", Effect.ALLOW, ("*",), ("s3:PutObject", "s3:ListBucket"), ("demo-media", "demo-media/lea/*")),
    Statement("Not", Effect.DENY, ("*",), ("s3:*",), ("demo-media/lea/old/*",)),
)
NARROWED = replace(END_USER, narrowed_by=NARROW)


def test_a_session_policy_narrows():
    assert allowed(NARROWED, "s3:PutObject", on("lea/a"))
    assert not allowed(NARROWED, "s3:PutObject", on("other/a"))
    assert not allowed(NARROWED, "s3:PutObject", on("lea/old/a"))
    assert not allowed(NARROWED, "s3:GetObject", on("lea/a", "lea"))


def test_a_session_policy_gives_nothing():
    everything = (Statement("All", Effect.ALLOW, ("*",), ("*",), ("*",)),)
    wide = replace(END_USER, narrowed_by=everything)
    for action in ACTIONS:
        for resource in (on(), on("a"), on("a", "mina"), on("a", "lea"), Resource("demo"), Resource("other")):
            assert not allowed(wide, action, resource) or allowed(END_USER, action, resource)
    assert not allowed(replace(END_USER, narrowed_by=()), "s3:GetObject", on("a", "lea"))


def test_may_any_tells_who_can_touch_nothing_at_all():
    rules = rules_with(statement("allow", "dashboard", "s3:DeleteObject", "demo-media/tmp/*"))
    assert RULES.may_any(SARA, "s3:DeleteObject", on())
    assert not RULES.may_any(DASHBOARD, "s3:DeleteObject", on())
    assert rules.may_any(DASHBOARD, "s3:DeleteObject", on())
    assert not rules.may_any(DASHBOARD, "s3:DeleteObject", on(bucket="demo-avatars"))
    assert not RULES.may_any(None, "s3:DeleteObject", on())
    assert not RULES.may_any(STRANGER, "s3:DeleteObject", on())


# --- against the reference

WHO = [
    None,
    STRANGER,
    OPS,
    BACKEND,
    FOR_LEA,
    SARA,
    BOB,
    DASHBOARD,
    END_USER,
    replace(END_USER, uploader="mina"),
    NARROWED,
]
KEYS = ["a", "b", "tmp/a", "tmp/b", "tmpx", "lea/a", "lea/old/a", "a*b", "ab", "a/b/c", ""]
OWNERS = [None, "sara", "bob", "lea", "mina", "ops", "backend"]
ADDRESSES = [None, ip_address("10.1.2.3"), ip_address("10.2.2.3"), ip_address("2001:db8::9")]
NAMED = ["*", "anonymous", "ops", "backend", "backend/*", "backend/lea", "sara", "dashboard"]
PATTERNS = ["*", "s3:*", "s3:Get*", "s3:*Object", "s3:PutObject", "s3:ListBucket", "s3:List*", "sts:*"]
PLACES = [
    *("*", "demo-media", "demo-media/*", "demo-media/tmp/*", "demo-media/a", "demo-*", "*/tmp/*", "demo-*/a*b"),
    *("demo-media/*a", "demo-avatars/*", "*media*", "demo-media*", "demo-media/a*", "demo-m", ""),
]


def some(random: Random, values: list[str]) -> tuple[str, ...]:
    return tuple(random.sample(values, random.randint(1, 2)))


def any_conditions(random: Random) -> Conditions:
    if random.random() < 0.5:
        return Conditions()
    return Conditions(
        random.choice([None, OFFICE]),
        random.choice([None, OFFICE]),
        random.choice([None, ("tmp/",), ("lea/", "a")]),
        random.choice([None, True, False]),
    )


def any_statement(random: Random) -> Statement:
    return Statement(
        "statements.0",
        random.choice(list(Effect)),
        some(random, NAMED),
        some(random, PATTERNS),
        some(random, PLACES),
        any_conditions(random),
    )


def any_resource(random: Random) -> Resource:
    project = random.choice(["demo", "demo", "demo", "demo", "other", "nowhere", None])
    bucket = random.choice([None, "demo-media", "demo-media", "demo-avatars", "demo-made"])
    if bucket is None:
        return Resource(project)
    key = random.choice([None, *KEYS])
    return Resource(project, bucket, key, random.choice(OWNERS), random.choice([None, None, "backend", "backend/lea"]))


def any_context(random: Random) -> Context:
    return Context(random.choice(ADDRESSES), random.random() < 0.5)


@pytest.mark.parametrize("seed", range(20))
def test_the_evaluator_says_what_the_reference_says(seed):
    """10,000 policies in all, each asked ten questions."""
    random = Random(seed)
    for _ in range(500):
        rules = rules_with(*(any_statement(random) for _ in range(random.randint(0, 6))))
        for _ in range(10):
            asked = random.choice(WHO), random.choice(ACTIONS), any_resource(random), any_context(random)
            decision = rules.decide(*asked)
            assert decision.allowed is reference.may(rules.policies, *asked), (decision, asked)
            if decision.statement is not None:
                assert (decision.statement.effect is Effect.ALLOW) is decision.allowed
            assert rules.decide(*asked) == decision


@pytest.mark.parametrize("seed", range(4))
def test_a_listing_shows_what_the_evaluator_allows_of_each_key(seed):
    random = Random(seed)
    for _ in range(500):
        rules = rules_with(*(any_statement(random) for _ in range(random.randint(0, 6))))
        identity, action = random.choice(WHO[1:]), random.choice(sorted(LISTINGS))
        context = any_context(random)
        assert identity is not None
        spans = rules.visible(identity, action, on(), context)
        for key in ("a", "b", "tmp/", "tmp/a", "tmq", "lea/a", "lea/old/a", "\U0010ffff"):
            for owner in ("sara", "lea", "bob"):
                shown = [span for span in spans if span.covers(key) and span.uploader in (None, owner)]
                allowed_ = rules.decide(identity, action, on(key, owner), context).allowed
                assert len(shown) == allowed_, (key, owner, spans)


def test_no_context_is_no_address_and_no_encryption():
    assert Context() == NO_CONTEXT
