"""Where a signal is raised, and where it waits for the end of something."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from senet_train.errors import Interrupted
from senet_train.system.signals import (
    HANDLED,
    Stopped,
    defer_signals,
    hold_signals,
    let_signals_in,
    pending_signal,
    raise_on_signals,
)

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.fixture(autouse=True)
def handled() -> Iterator[None]:
    """Signals raise in these tests; what is missed ends none of them."""
    with raise_on_signals():
        yield


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize("signum", HANDLED)
def test_each_ends_a_command(signum: signal.Signals) -> None:
    with pytest.raises(Interrupted, match=signum.name) as end:
        send(signum)
    assert end.value.exit_code == 128 + signum


def test_what_is_ignored_stays_ignored() -> None:
    """By nohup, say. Background jobs of a shell ignore SIGINT, and obey it all the same."""
    before = [signal.signal(signum, signal.SIG_IGN) for signum in HANDLED]
    with raise_on_signals():
        send(HUP)
        assert pending_signal() is None
        for signum in (INT, TERM):
            with pytest.raises(Interrupted):
                send(signum)
    assert all(signal.getsignal(signum) is signal.SIG_IGN for signum in HANDLED)
    for signum, handler in zip(HANDLED, before, strict=True):
        signal.signal(signum, handler)


def in_finally(signum: int) -> None:
    try:
        send(TERM)
    finally:
        send(signum)


def in_except(signum: int) -> None:
    try:
        send(TERM)
    except BaseException:
        send(signum)
        raise


def in_a_failure_of_the_end(signum: int) -> None:
    try:
        send(TERM)
    except BaseException:
        try:
            raise OSError("the disk is full")
        except OSError:
            send(signum)
        raise


def below_a_stop(signum: int) -> None:
    with defer_signals():
        send(TERM)
        try:
            raise Stopped(TERM)
        finally:
            send(signum)


ENDS = (in_finally, in_except, in_a_failure_of_the_end, below_a_stop)


@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_not_cut_short_by_a_second_signal(end: Callable[[int], None]) -> None:
    for second in (TERM, HUP):
        with raise_on_signals(), pytest.raises(Interrupted, match="SIGTERM"):
            end(second)


@pytest.mark.parametrize("end", ENDS)
def test_a_second_sigint_does_not_wait(end: Callable[[int], None]) -> None:
    with pytest.raises(Interrupted, match="SIGINT"):
        end(INT)


def test_a_signal_after_one_that_was_lost_is_raised() -> None:
    """The first was dropped, as by `__del__`: no end is under way."""
    with pytest.raises(Interrupted):
        send(TERM)
    with pytest.raises(Interrupted):
        send(TERM)


def held(signals: tuple[int, ...], done: list[str]) -> None:
    with hold_signals():
        for signum in signals:
            send(signum)
        done.append("written")


def test_nothing_is_raised_while_signals_are_held() -> None:
    done: list[str] = []
    with pytest.raises(Interrupted, match="SIGINT"):
        held((INT, INT, TERM), done)
    assert done == ["written"]


def failing(signum: int) -> None:
    with hold_signals():
        send(signum)
        raise OSError("the disk is full")


def test_held_signals_are_raised_after_an_error_too() -> None:
    with pytest.raises(Interrupted, match="SIGTERM"):
        failing(TERM)


def holding_in_an_end(done: list[str]) -> None:
    try:
        send(TERM)
    finally:
        held((INT,), done)


def test_an_end_that_holds_signals_goes_on() -> None:
    """What arrives while the status is written is not raised in the place of what ends the run."""
    done: list[str] = []
    with pytest.raises(Interrupted, match="SIGTERM"):
        holding_in_an_end(done)
    assert done == ["written"]


def let_in(first: int, then: int, done: list[str]) -> None:
    with hold_signals():
        try:
            with let_signals_in():
                send(first)
                done.append("not reached")
        finally:
            send(then)
            send(then)
            done.append("written")


def test_signals_are_let_in_for_a_part() -> None:
    done: list[str] = []
    with pytest.raises(Interrupted, match="SIGHUP"):
        let_in(HUP, INT, done)
    assert done == ["written"]


def let_in_after(signum: int, done: list[str]) -> None:
    with hold_signals():
        send(signum)
        with let_signals_in():
            done.append("not reached")


def test_a_signal_from_before_is_raised_when_they_are_let_in() -> None:
    done: list[str] = []
    with pytest.raises(Stopped):
        let_in_after(TERM, done)
    assert done == []
