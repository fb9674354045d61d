"""Group commands that name several agents: all of them or none, and the error is about the right one."""
from test_group import group, three
from world import World, test


def states(w, name="team"):
    return {m["name"]: m["state"] for m in group(w, "builder", name)["members"]}


@test("groups: an error names the one it is about, and nothing is done")
def the_right_one():
    with World() as w:
        three(w, "worker")
        w.sp("builder", "group", "create", "team", "reviewer")
        error = w.json("builder", "group", "remove", "team", "reviewer", "tester", "--yes", check=6).error
        assert error["code"] == "unknown_agent" and error["message"].startswith("tester "), error
        error = w.json("builder", "group", "invite", "team", "tester", "reviewer", check=4).error
        assert error["code"] == "already_member" and error["message"].startswith("reviewer "), error
        assert states(w) == {"builder": "joined", "reviewer": "invited"}, states(w)
        w.sp("builder", "reject", "worker", "--block")
        error = w.json("builder", "group", "create", "other", "tester", "worker", check=4).error
        assert "worker" in error["message"], error
        assert w.json("builder", "group", "show", "other", check=6).error["code"] == "unknown_group"


@test("groups: an agent that is named twice is one agent")
def twice():
    with World() as w:
        three(w)
        w.sp("builder", "group", "create", "team", "reviewer", "reviewer")
        w.sp("builder", "group", "invite", "team", "tester", "tester")
        assert sorted(states(w)) == ["builder", "reviewer", "tester"]
        w.sp("builder", "group", "remove", "team", "tester", "tester", "--yes")
        assert sorted(states(w)) == ["builder", "reviewer"]
