"""What the stream sets off waits for a gap between requests, for a moment at most."""

from __future__ import annotations

import threading

from sandbox.aws.right_of_way import RightOfWay

LONG = 60.0


def waiting(way: RightOfWay) -> threading.Thread:
    thread = threading.Thread(target=way.wait, daemon=True)
    thread.start()
    return thread


def test_nothing_waits_while_there_is_no_request() -> None:
    thread = waiting(RightOfWay(most=LONG))
    thread.join(10)
    assert not thread.is_alive()


def test_a_delivery_waits_until_the_request_is_answered() -> None:
    way = RightOfWay(most=LONG)
    with way:
        thread = waiting(way)
        thread.join(0.1)
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive()


def test_requests_that_never_pause_hold_a_delivery_up_for_a_moment_only() -> None:
    way = RightOfWay(most=0.05)
    with way:
        thread = waiting(way)
        thread.join(10)
        assert not thread.is_alive()
