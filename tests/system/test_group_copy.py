"""Groups and profiles that were copied or put back: the copy says nothing, and nobody is harmed by it."""
import os
import shutil

from test_group import group, joined, settle, team
from world import World, sent, test, wait_until


def swap(w, agent, source):
    """The profile as it was in `source`; gives the place where the one in use is kept."""
    aside = source + ".aside"
    os.rename(w.profile(agent), aside)
    shutil.copytree(source, w.profile(agent))
    return aside


def back(w, agent, aside):
    shutil.rmtree(w.profile(agent))
    os.rename(aside, w.profile(agent))


def copied(w, agent):
    copy = os.path.join(w.root, "copy-of-" + agent)
    shutil.copytree(w.profile(agent), copy)
    return copy


def channel(w):
    """Mail of the group that the broker holds: whose, which number, what."""
    return w.sql("SELECT sender_id, sender_seq, hex(digest) FROM frame WHERE kind = 8 ORDER BY 1, 2")


def refused(w, agent, *args):
    error = w.json(agent, *args, check=7).error
    assert error["code"] == "profile_restored" and "rotate --all" in error["hint"], error


def says_nothing(w, agent, *more):
    """A copy of agent's profile, whatever it is told to do."""
    before, head = channel(w), group(w, "tester")["head"]
    for args in (["recv"], ["send", "+team", "words of the copy"], *more):
        refused(w, agent, *args)
    w.sp("tester", "recv", "--no-ack")
    assert set(channel(w)) <= set(before), "only what all have signed for may go"
    assert group(w, "tester")["head"] == head


def words(w, who, expected):
    got = []
    wait_until(lambda: got.extend(w.bodies(who)) or len(got) >= len(expected), f"{who} reads {expected}")
    assert got == expected, (who, got)


@test("T18_copy: a copy of a member's profile says nothing in the group, and the original's mail is unharmed")
def member():
    with World() as w:
        team(w)
        w.sp("reviewer", "send", "+team", "one")
        copy = copied(w, "reviewer")
        w.sp("reviewer", "send", "+team", "two")
        w.sp("builder", "send", "+team", "for reviewer")
        aside = swap(w, "reviewer", copy)
        says_nothing(w, "reviewer", ["group", "leave", "team", "--yes"])
        back(w, "reviewer", aside)
        words(w, "reviewer", ["for reviewer"])
        w.sp("reviewer", "send", "+team", "three")
        for who in ("builder", "tester"):
            words(w, who, ["one", "two", "three"] if who == "builder" else ["one", "two", "for reviewer", "three"])
        assert w.json("reviewer", "status").one["problems"] == []


@test("T18_copy: a copy of an owner's profile changes nothing in the group, and the original goes on")
def owner():
    with World() as w:
        team(w)
        copy = copied(w, "builder")
        w.sp("builder", "group", "rekey", "team")
        settle(w, "builder", "reviewer", "tester")
        w.sp("builder", "send", "+team", "in the new epoch")
        aside = swap(w, "builder", copy)
        says_nothing(w, "builder", ["group", "rekey", "team"], ["group", "remove", "team", "tester", "--yes"],
                     ["group", "close", "team", "--yes"], ["group", "create", "other", "tester"])
        back(w, "builder", aside)
        w.sp("builder", "group", "rekey", "team")
        settle(w, "builder", "reviewer", "tester")
        w.sp("builder", "send", "+team", "and the next")
        for who in ("reviewer", "tester"):
            words(w, who, ["in the new epoch", "and the next"])
        assert joined(w, "tester") == ["builder", "reviewer", "tester"]
        assert w.json("builder", "status").one["problems"] == []


def rotated(w, agent, copy):
    """The newer profile is gone for good; a person says so."""
    shutil.rmtree(w.profile(agent))
    os.rename(copy, w.profile(agent))
    refused(w, agent, "recv")
    w.sp(agent, "rotate", "--all")
    settle(w, "builder", "reviewer", "tester")
    assert w.json(agent, "status").one["problems"] == []


def all_talk(w):
    """What everybody says now, everybody else reads."""
    everybody = ("builder", "reviewer", "tester")
    for who in everybody:
        w.fetch(who)
    said = {who: sent(w.sp(who, "send", "+team", f"{who} again"))[0] for who in everybody}
    for who in everybody:
        got = []
        wait_until(lambda: got.extend(w.fetch(who)) or len(got) >= 2, f"{who} reads both")
        assert sorted(m["body"] for m in got) == [f"{o} again" for o in everybody if o != who], got
    for who, message in said.items():
        wait_until(lambda: w.json(who, "trace", message).one["delivered_to"] == 2, "both have signed")


@test("T18_copy: after rotate --all a member whose profile was put back is in the group as before")
def member_again():
    with World() as w:
        team(w)
        copy = copied(w, "reviewer")
        for i in range(3):
            w.sp("reviewer", "send", "+team", f"{i}")
        for who in ("builder", "tester"):
            assert w.bodies(who) == ["0", "1", "2"]
        rotated(w, "reviewer", copy)
        all_talk(w)


@test("T18_copy: after rotate --all an owner whose profile was put back keeps its group as before")
def owner_again():
    with World() as w:
        team(w)
        copy = copied(w, "builder")
        w.sp("builder", "group", "rekey", "team")
        settle(w, "builder", "reviewer", "tester")
        for i in range(3):
            w.sp("builder", "send", "+team", f"{i}")
        for who in ("reviewer", "tester"):
            assert w.bodies(who) == ["0", "1", "2"]
        rotated(w, "builder", copy)
        all_talk(w)
        w.sp("builder", "group", "rekey", "team")
        settle(w, "builder", "reviewer", "tester")
        all_talk(w)
