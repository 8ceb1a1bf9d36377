"""The life of a sandbox, step by step, on a clock of its own."""

from __future__ import annotations

import msgspec
import pytest

from antiphon.domain import limits, sandboxes, times
from antiphon.domain.errors import SandboxStopping
from antiphon.domain.ids import new_uid7
from antiphon.domain.sandboxes import ACTIVE, ARCHIVED, FAILED, HIBERNATED, HIBERNATING, PROVISIONING, Sandbox

NOW = 1_787_306_400_000_000
RUN = "lifecycle:1:a"


def after(seconds: float) -> int:
    return NOW + times.micros_of(seconds)


def but(sandbox: Sandbox, **changes: object) -> Sandbox:
    return msgspec.structs.replace(sandbox, **changes)


@pytest.fixture
def fresh() -> Sandbox:
    return Sandbox(new_uid7(), new_uid7(), "s1", touched_at=NOW)


@pytest.fixture
def active(fresh: Sandbox) -> Sandbox:
    return sandboxes.started(sandboxes.placed(fresh, "here"), NOW)


@pytest.fixture
def held(active: Sandbox) -> Sandbox:
    return sandboxes.leased(active, NOW, RUN)


def test_at_first_there_is_none(fresh: Sandbox) -> None:
    assert (fresh.state, fresh.version, fresh.name, fresh.is_active(NOW)) == (PROVISIONING, 0, None, False)


def test_one_that_is_made_has_half_an_hour_and_five_minutes_of_idleness(active: Sandbox) -> None:
    assert (active.state, active.version, active.name, active.error) == (ACTIVE, 1, "session-s1", None)
    assert active.expires_at == active.runtime_expires_at == after(1_800)
    assert active.hibernate_after == after(300)
    assert active.last_activity_at == NOW


def test_coming_back_keeps_the_end_of_what_runs_and_gives_the_rest_a_new_one(active: Sandbox) -> None:
    again = sandboxes.started(active, after(60))
    assert (again.version, again.expires_at, again.hibernate_after) == (2, after(1_800), after(360))
    late = sandboxes.started(active, after(1_800))
    assert late.expires_at == after(3_600)


@pytest.mark.parametrize(("seconds", "is_active"), [(0, True), (1_789.9, True), (1_790, False), (5_000, False)])
def test_it_is_active_until_ten_seconds_before_its_end(active: Sandbox, seconds: float, is_active: bool) -> None:
    assert active.is_active(after(seconds)) is is_active


def test_what_sleeps_counts_as_active(held: Sandbox) -> None:
    asleep = sandboxes.hibernated(but(held, state=HIBERNATING), RUN)
    assert asleep.is_active(after(100_000)) is True


def test_due_is_the_earlier_of_idleness_and_the_end(active: Sandbox) -> None:
    assert active.due_at(NOW) == after(300)
    assert but(active, hibernate_after=after(5_000)).due_at(NOW) == after(1_790)
    assert but(active, hibernate_after=None).due_at(NOW) == after(300)
    assert but(active, hibernate_after=None, last_activity_at=None, touched_at=after(7)).due_at(NOW) == after(307)
    unknown = but(active, hibernate_after=None, last_activity_at=None, touched_at=0, expires_at=None)
    assert unknown.due_at(after(9)) == after(309)


def test_use_pushes_the_deadline_and_not_the_end(active: Sandbox, fresh: Sandbox) -> None:
    used = sandboxes.used(but(active, state=HIBERNATED, error="x", expires_at=None), after(100))
    assert (used.state, used.error, used.hibernate_after, used.expires_at) == (ACTIVE, None, after(400), after(1_800))
    assert sandboxes.used(fresh, NOW) is fresh


def test_an_extension_has_a_ceiling(active: Sandbox, fresh: Sandbox) -> None:
    longer = sandboxes.extended(active, NOW, 60)
    assert longer.expires_at == longer.runtime_expires_at == after(1_860)
    assert sandboxes.extended(active, NOW, 1e6).expires_at == after(limits.SANDBOX_SECONDS_MAX)
    assert sandboxes.extended(active, after(1_800), 60) is active
    assert sandboxes.extended(fresh, NOW, 60) is fresh


def test_a_lease_is_given_once_and_taken_over_when_it_is_stale(active: Sandbox, fresh: Sandbox) -> None:
    held = sandboxes.leased(active, NOW, RUN)
    assert held.run_id == RUN
    assert sandboxes.leased(held, after(300 + 120), "other") is held
    assert sandboxes.leased(held, after(300 + 120.1), "other").run_id == "other"
    asleep = but(held, state=HIBERNATED)
    assert sandboxes.leased(asleep, after(10_000), "other") is asleep
    put_away = but(active, state=ARCHIVED)
    assert sandboxes.leased(put_away, NOW, RUN) is put_away
    assert sandboxes.leased(fresh, NOW, RUN) is fresh


def test_only_its_own_lease_is_released(held: Sandbox) -> None:
    assert sandboxes.released(held, RUN).run_id is None
    assert sandboxes.released(held, "other") is held


def test_what_is_due_and_idle_begins_to_hibernate(held: Sandbox) -> None:
    assert sandboxes.tiring(held, after(300), RUN).state == HIBERNATING
    assert sandboxes.tiring(held, after(299), RUN) is held
    assert sandboxes.tiring(held, after(300), "other") is held
    for other in (but(held, is_busy=True), but(held, state=ARCHIVED)):
        assert sandboxes.tiring(other, after(300), RUN) is other


def test_what_is_used_meanwhile_stays(held: Sandbox) -> None:
    tired = but(held, state=HIBERNATING)
    assert sandboxes.reconsidered(tired, after(300), RUN) is tired
    assert sandboxes.reconsidered(but(tired, is_busy=True), after(300), RUN).state == ACTIVE
    assert sandboxes.reconsidered(but(tired, hibernate_after=after(900)), after(300), RUN).state == ACTIVE
    assert sandboxes.reconsidered(held, after(300), RUN) is held


def test_asleep_only_the_name_is_left(held: Sandbox) -> None:
    asleep = sandboxes.hibernated(but(held, state=HIBERNATING, error="x"), RUN)
    assert (asleep.state, asleep.name, asleep.place) == (HIBERNATED, "session-s1", "here")
    assert (asleep.expires_at, asleep.runtime_expires_at, asleep.hibernate_after) == (None, None, None)
    assert (asleep.run_id, asleep.error) == (None, None)
    assert sandboxes.hibernated(held, RUN) is held


def test_a_failure_is_told_and_gives_the_lease_back(held: Sandbox) -> None:
    broken = sandboxes.failed(but(held, state=HIBERNATING), RUN, "why")
    assert (broken.state, broken.error, broken.run_id) == (FAILED, "why", None)
    assert sandboxes.failed(held, "other", "why") is held


def test_what_only_seemed_to_fail_recovers(held: Sandbox) -> None:
    broken = sandboxes.failed(held, RUN, "why")
    well = sandboxes.recovered(broken, NOW)
    assert (well.state, well.error, well.expires_at) == (ACTIVE, None, after(1_800))
    assert sandboxes.recovered(broken, after(1_800)) is broken
    assert sandboxes.recovered(held, NOW) is held


def test_one_that_answers_has_an_end(held: Sandbox) -> None:
    assert sandboxes.reconnected(held, NOW).expires_at == after(1_800)
    asleep = sandboxes.hibernated(but(held, state=HIBERNATING), RUN)
    awake = sandboxes.reconnected(asleep, NOW)
    assert (awake.state, awake.expires_at) == (HIBERNATED, after(300))
    assert sandboxes.reconnected(but(held, state=FAILED, error="x"), NOW).state == ACTIVE


def test_one_that_is_lost_may_keep_its_name(held: Sandbox) -> None:
    lost = sandboxes.lost(held, is_name_lost=False)
    assert (lost.state, lost.name, lost.expires_at, lost.hibernate_after) == (HIBERNATED, "session-s1", None, None)
    gone = sandboxes.lost(held, is_name_lost=True)
    assert (gone.name, gone.place) == (None, "here")  # its directory, if there is one, still has to be removed


def test_the_archive(held: Sandbox) -> None:
    put = sandboxes.archived(held)
    assert (put.state, put.run_id, put.expires_at, put.hibernate_after) == (ARCHIVED, None, None, None)
    assert put.runtime_expires_at == after(1_800)
    assert sandboxes.put_away(put, None).runtime_expires_at is None
    assert sandboxes.put_away(put, "why").error == "why"
    assert sandboxes.put_away(held, "why") is held
    assert sandboxes.unarchived(put).state is None


def test_what_runs_cannot_be_taken_out_of_the_archive(active: Sandbox, fresh: Sandbox) -> None:
    with pytest.raises(SandboxStopping):
        sandboxes.unarchived(active)
    assert sandboxes.unarchived(fresh).state is None
    assert sandboxes.unarchived(but(active, state=HIBERNATED)).state is None


def test_something_beside_it_is_noted(active: Sandbox) -> None:
    noted = sandboxes.noted(active, "no network")
    assert (noted.state, noted.error) == (ACTIVE, "no network")


def test_a_lease_says_when_it_was_taken() -> None:
    _, millis, name = sandboxes.new_run_id(NOW).split(":")
    assert int(millis) * 1_000 == NOW
    assert len(name) == 36
