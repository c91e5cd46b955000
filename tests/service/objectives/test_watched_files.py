"""Files of objectives are read again when they changed, and a mistaken one keeps what it said."""

from __future__ import annotations

import pytest

from service.objectives.mistakes import ObjectiveFileError
from service.objectives.watched import Watched


@pytest.fixture
def folder(tmp_path, chat):
    made = tmp_path / "objectives"
    made.mkdir()
    (made / "chat.yaml").write_text(chat)
    return made


def named(chat, name, limit="2s"):
    return chat.replace("name: chat-ttft", f"name: {name}").replace("limit: 2s", f"limit: {limit}")


def promised(watched):
    return {each.objective.name: each.objective.indicator.limit_us // 1_000 for each in watched.written}


def settle(watched):
    """Look twice, as a change is taken when it stood still; return whether anything came of it."""
    return any([watched.look(), watched.look()])


def test_a_changed_file_is_read_when_it_stood_still(folder, chat):
    watched = Watched([folder])
    assert not settle(watched)
    (folder / "chat.yaml").write_text(named(chat, "chat-ttft", "1s"))
    assert not watched.look()
    assert watched.look()
    assert promised(watched) == {"chat-ttft": 1_000}
    assert not settle(watched)


def test_files_come_and_go(folder, chat):
    watched = Watched([folder])
    (folder / "more.yml").write_text(named(chat, "more"))
    (folder / "notes.txt").write_text("not ours")
    assert settle(watched) and promised(watched) == {"chat-ttft": 2_000, "more": 2_000}
    (folder / "chat.yaml").unlink()
    assert settle(watched) and promised(watched) == {"more": 2_000}


def test_a_mistaken_file_keeps_what_it_said_and_tells_where_it_is_wrong(folder, chat):
    watched = Watched([folder])
    (folder / "chat.yaml").write_text(named(chat, "chat-ttft", "1 parsec"))
    assert settle(watched)
    assert promised(watched) == {"chat-ttft": 2_000}
    (mistake,) = watched.mistakes
    assert str(mistake).startswith(f"{folder}/chat.yaml:") and "parsec" in str(mistake)
    (folder / "chat.yaml").write_text(named(chat, "chat-ttft", "1s"))
    assert settle(watched)
    assert (promised(watched), watched.mistakes) == ({"chat-ttft": 1_000}, ())


def test_the_other_files_of_a_folder_do_not_wait_for_the_mistaken_one(folder, chat):
    watched = Watched([folder])
    (folder / "a.yaml").write_text("kind: [")
    (folder / "z.yaml").write_text(named(chat, "z"))
    assert settle(watched)
    assert promised(watched) == {"chat-ttft": 2_000, "z": 2_000} and len(watched.mistakes) == 1


def test_a_file_that_is_replaced_by_renaming_is_read(folder, chat):
    watched = Watched([folder])
    fresh = folder / ".chat.tmp"
    fresh.write_text(named(chat, "chat-ttft", "3s"))
    fresh.replace(folder / "chat.yaml")
    assert settle(watched) and promised(watched) == {"chat-ttft": 3_000}


def test_the_links_of_a_kubernetes_configmap_are_followed(tmp_path, chat):
    mount = tmp_path / "mount"
    for version, limit in (("..1", "1s"), ("..2", "2s")):
        (mount / version).mkdir(parents=True)
        (mount / version / "chat.yaml").write_text(named(chat, "chat-ttft", limit))
    (mount / "..data").symlink_to("..1")
    (mount / "chat.yaml").symlink_to("..data/chat.yaml")
    watched = Watched([mount])
    assert promised(watched) == {"chat-ttft": 1_000}
    (mount / "..data_tmp").symlink_to("..2")
    (mount / "..data_tmp").replace(mount / "..data")
    assert settle(watched) and promised(watched) == {"chat-ttft": 2_000}


def test_a_folder_or_a_named_file_that_is_gone_is_a_mistake_and_no_farewell(folder, chat, tmp_path):
    alone = tmp_path / "alone.yaml"
    alone.write_text(named(chat, "alone"))
    watched = Watched([folder, alone])
    folder.rename(tmp_path / "elsewhere")
    alone.unlink()
    assert settle(watched)
    assert promised(watched) == {"chat-ttft": 2_000, "alone": 2_000}
    assert ["cannot be read" in mistake.cause for mistake in watched.mistakes] == [True, True]
    (tmp_path / "elsewhere").rename(folder)
    assert settle(watched) and len(watched.mistakes) == 1


def test_a_name_that_another_file_has_is_a_mistake_until_that_file_gives_it_up(folder, chat):
    watched = Watched([folder])
    (folder / "second.yaml").write_text(named(chat, "chat-ttft", "5s"))
    assert settle(watched)
    assert promised(watched) == {"chat-ttft": 2_000}
    assert "two objectives are called chat-ttft" in watched.mistakes[0].cause
    (folder / "chat.yaml").write_text(named(chat, "other"))
    assert settle(watched)
    assert (promised(watched), watched.mistakes) == ({"other": 2_000, "chat-ttft": 5_000}, ())


def test_a_name_may_move_between_files_at_once(folder, chat):
    (folder / "b.yaml").write_text(named(chat, "b"))
    watched = Watched([folder])
    (folder / "b.yaml").write_text(named(chat, "chat-ttft", "7s"))
    (folder / "chat.yaml").write_text(named(chat, "b", "8s"))
    assert settle(watched)
    assert promised(watched) == {"chat-ttft": 7_000, "b": 8_000}


def test_the_first_reading_refuses_every_mistake_of_every_file(folder):
    for name in ("a.yaml", "b.yaml"):
        (folder / name).write_text("kind: SLO\n")
    with pytest.raises(ObjectiveFileError, match=r"a.yaml:[\s\S]*b.yaml:"):
        Watched([folder])
