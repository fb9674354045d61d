"""Members of a group that kill themselves at every place where mail is said or taken: all read it once, in order."""
from test_crash import KILLED, at, needs_test_build, places, whole
from world import ID, World, test, wait_until


def team(w):
    """+team of builder and reviewer, both with the key."""
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer")
    w.sp("builder", "group", "create", "team", "reviewer")

    def ready():
        for who in ("reviewer", "builder"):
            w.sp(who, "recv", check=None)
        views = [w.json(who, "group", "show", "team").one for who in ("builder", "reviewer")]
        return (all(v["keyed"] for v in views) and len({v["head"] for v in views}) == 1
                and all(m["state"] == "joined" for m in views[0]["members"]))
    wait_until(ready, "both have the key")


def delivered(w, message):
    def signed():
        w.sp("reviewer", "status")
        w.sp("builder", "status")
        return w.json("builder", "trace", message).one["state"] == "delivered"
    wait_until(signed, "the reviewer's word")


@test("T19_crash: a member killed at every place while it says something; it is said once or not at all")
def sender():
    needs_test_build()
    with World() as w:
        team(w)
        for place in places("send"):
            if place == "send.receipt":
                continue  # of sessions alone
            w.sp("reviewer", "status")
            w.sp("builder", "status")
            said = w.sp("builder", "send", "+team", place, "-v", env=at(place), check=None)
            assert said.code == KILLED, f"{place} is not reached: {said}"
            assert not said.out, said
            named = ID.search(said.err.decode())
            message = w.sp("builder", "send", "+team", "after " + place).text.split()[0]
            bodies = w.bodies("reviewer")
            assert bodies in ([place, "after " + place], ["after " + place]), (place, bodies)
            if named:
                assert bodies[0] == place, f"{place}: {named[0]} was said to be queued"
            delivered(w, message)


@test("T19_crash: a member killed at every place while it reads; each message is printed, once or with `again`")
def reader():
    needs_test_build()
    with World() as w:
        team(w)
        for place in places("recv"):
            ids = [w.sp("builder", "send", "+team", f"{place} {i}").text.split()[0] for i in range(2)]
            if place == "recv.known":  # what comes a second time, because nobody signed for it
                assert w.json("reviewer", "recv", env=at("recv.committed"), check=None).code == KILLED
            died = w.json("reviewer", "recv", env=at(place), check=None)
            assert died.code == KILLED, f"{place} is not reached: {died}"
            bodies = whole(died.of("message"), w.fetch("reviewer"))
            assert bodies == [f"{place} 0", f"{place} 1"], (place, bodies)
            for message in ids:
                delivered(w, message)


@test("T19_crash: an owner killed while it makes a group; the group is there, once, and the next command goes on with it")
def maker():
    needs_test_build()
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder", "reviewer")
        for place in ("epoch.appended", "epoch.job"):
            name = "of-" + place.replace(".", "-")
            died = w.sp("builder", "group", "create", name, "reviewer", env=at(place), check=None)
            assert died.code == KILLED, f"{place} is not reached: {died}"
            goes_on(w, name)


def goes_on(w, name):
    again = w.json("builder", "group", "create", name, "reviewer", check=4)
    assert again.error["code"] == "group_exists", again

    def ready():
        for who in ("reviewer", "builder"):
            w.sp(who, "recv")
        views = [w.json(who, "group").of("group") for who in ("builder", "reviewer")]
        views = [[g for g in view if g["name"] == "+" + name] for view in views]
        return (all(len(view) == 1 and view[0]["keyed"] and view[0]["pending"] == 0 for view in views)
                and views[0][0]["head"] == views[1][0]["head"]
                and [m["state"] for m in views[0][0]["members"]] == ["joined", "joined"])
    wait_until(ready, f"both in +{name}")
    w.sp("builder", "send", "+" + name, "made")
    wait_until(lambda: w.bodies("reviewer") == ["made"], "reviewer reads it")
