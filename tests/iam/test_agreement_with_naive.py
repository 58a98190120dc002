"""The decision against a second evaluator that was written from AWS's documentation alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.iam import naive, worlds
from tests.iam.naive import World

from clavero.iam.decision import decide

QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
seeds = st.integers(0, 2**48)
WHERE = ("key_policy", "identity", "boundary", "sessions", "scps", "endpoint")


CASES = 100_000  # of the slow run
ENOUGH = 900  # so many meet every end that there is


def differs(world: World) -> bool:
    decision = worlds.decided(world)
    return (decision.allowed, decision.because) != naive.decide(world)


def world_of(seed: int) -> World:
    return worlds.Maker(seed).world()


def test_both_evaluators_agree(request):
    """900 worlds, unless `--iam-cases` says otherwise."""
    cases = request.config.getoption("--iam-cases")
    outcomes: Counter[tuple[bool, str]] = Counter()

    @settings(QUICK, max_examples=cases, database=None)
    @given(seeds)
    def both(seed):
        outcomes[agreed(seed)] += 1

    both()
    if cases >= ENOUGH:
        meets_every_end(outcomes)


def agreed(seed: int) -> tuple[bool, str]:
    """What both evaluators say."""
    world = world_of(seed)
    if differs(world):
        small = worlds.reduced(world, differs)
        found = worlds.decided(small)
        message = f"{(found.allowed, found.because)} but naively {naive.decide(small)}: {small}"
        raise AssertionError(message)
    decision = worlds.decided(world)
    assert decision.allowed or decision.basis or decision.missing
    return decision.allowed, decision.because.replace(world.action, "")


def meets_every_end(outcomes: Counter[tuple[bool, str]]) -> None:
    """The worlds are allowed, and refused in each way there is but those of a rule."""
    assert len(outcomes) >= 13, outcomes
    assert outcomes[True, ""] > outcomes.total() / 50


def with_change(world: World, where: str, change: Any) -> tuple[bool, bool]:
    return (
        worlds.decided(world).allowed,
        worlds.decided(worlds.changed(world, where, change)).allowed,
    )


@QUICK
@given(seeds, st.sampled_from(WHERE))
def test_adding_a_deny_never_allows_more(seed, where):
    check_a_deny_more(seed, where)


def check_a_deny_more(seed: int, where: str) -> None:
    whom = where in {"key_policy", "endpoint"}
    more = worlds.Maker(seed + 1).statement(whom=whom, effect="Deny")

    def add(policy: dict[str, Any]) -> dict[str, Any]:
        return {**policy, "Statement": [*policy["Statement"], more]}

    before, after = with_change(world_of(seed), where, add)
    assert before or not after


@QUICK
@given(seeds, st.sampled_from(WHERE))
def test_removing_an_allow_never_allows_more(seed, where):
    check_an_allow_less(seed, where)


def check_an_allow_less(seed: int, where: str) -> None:
    nothing: dict[str, Any] = {"Effect": "Deny", "NotAction": "*", "Resource": "*"}
    if where in {"key_policy", "endpoint"}:
        nothing["Principal"] = "*"

    def remove(policy: dict[str, Any]) -> dict[str, Any]:
        found = [each for each in policy["Statement"] if each["Effect"] == "Allow"][:1]
        rest = [each for each in policy["Statement"] if each not in found]
        return {**policy, "Statement": rest or [nothing]}

    before, after = with_change(world_of(seed), where, remove)
    assert before or not after


@QUICK
@given(seeds)
def test_the_order_of_statements_policies_and_grants_never_matters(seed):
    check_another_order(seed)


def check_another_order(seed: int) -> None:
    world = world_of(seed)
    maker = worlds.Maker(seed + 1)

    def shuffled(policy: dict[str, Any]) -> dict[str, Any]:
        statements = list(policy["Statement"])
        maker.shuffle(statements)
        return {**policy, "Statement": statements}

    other = world
    for where in WHERE:
        other = worlds.changed(other, where, shuffled)
    other = replace(other, grants=other.grants[::-1])
    for listed in (other.identity, other.scps, other.sessions or []):
        maker.shuffle(listed)
    before, after = worlds.decided(world), worlds.decided(other)
    assert (before.effect, before.because) == (after.effect, after.because)


@QUICK
@given(seeds)
def test_what_a_decision_rests_on_is_about_the_request(seed):
    check_basis(seed)


def check_basis(seed: int) -> None:
    request = worlds.request_of(world_of(seed))
    decision = decide(request)
    for policy, statement, grant in decision.basis:
        if policy is not None and statement is not None:
            assert statement in policy.allowing + policy.denying
            assert statement.allows == decision.allowed
            assert statement.covers(request.action, request.resource, request.facts)
            assert statement.reaches(request.caller)
        elif grant is not None:
            assert grant.reaches(request.caller)
            assert grant.gives(request.action.removeprefix("kms:"), request.facts)
        else:
            assert request.caller.is_root


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_100_000_cases_of_each_property():
    """Every property of this module for each world, at one of the places where policies are."""
    outcomes: Counter[tuple[bool, str]] = Counter()

    @settings(QUICK, max_examples=CASES, database=None)
    @given(seeds)
    def each(seed):
        where = WHERE[seed % len(WHERE)]
        outcomes[agreed(seed)] += 1
        check_a_deny_more(seed, where)
        check_an_allow_less(seed, where)
        check_another_order(seed)
        check_basis(seed)

    each()
    assert outcomes.total() >= CASES
    meets_every_end(outcomes)
    print(f"{outcomes.total():,} worlds, {len(outcomes)} outcomes")  # noqa: T201 - by make test-slow
