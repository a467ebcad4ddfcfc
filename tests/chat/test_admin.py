"""What the owner does with /admin besides letting people in: messages to all, figures, copies."""

from pathlib import Path

from storage.database import open_database
from storage.observations import add
from storage.records import Bar, Provisional
from tests.chat.talk import GROUP, ME, OWNER, Talk

RULE = "ratio > 0.9"


async def test_a_broadcast_is_shown_first_and_goes_to_every_chat_once(house: Talk) -> None:
    for chat_id in (ME, OWNER):
        await house.ask("/start", chat_id)
    await house.ask("/start", GROUP, user_id=ME)
    house.api.block(GROUP)
    await house.answers()
    (shown,) = await house.ask("/admin broadcast The bot moves <tonight>.\nBye", OWNER)
    text = "From the owner of this bot\nThe bot moves <tonight>.\nBye"
    assert shown.text == f"{text}\n\nThis goes to 2 chats."
    assert await house.pushed(ME) == []
    send = dict(button for row in shown.buttons for button in row)["Send"]
    (answer,) = await house.press(shown, "Send")
    assert answer.text == "On its way to 2 chats."
    assert [message.text for message in await house.pushed(ME)] == [text]
    shown.markup = {"inline_keyboard": [[{"text": "Send", "callback_data": send}]]}
    assert await house.press(shown, "Send") == []
    assert house.notes() == ["That message was sent already, or a newer one has replaced it."]
    assert await house.pushed(ME) == []


async def test_stats_count_chats_alerts_and_messages(house: Talk) -> None:
    await house.ask(f"/alert {RULE}", ME)
    (stats,) = await house.ask("/admin stats", OWNER)
    assert stats.text.startswith("Stats\nChats: 1 active.\nAlerts: 1 active.\nMessages: none.\nDatabase: ")


async def test_a_backup_is_made_beside_the_nightly_ones_and_verified(house: Talk, tmp_path: Path) -> None:
    await house.ask(f"/alert {RULE}", ME)
    for _ in range(2):
        (answer,) = await house.ask("/admin backup", OWNER)
        assert answer.text.startswith("The database was copied and the copy verified.\n")
    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.name == "by-hand.db"
    with open_database(copy, read_only=True) as database:
        assert [row["rule"] for row in database.run_sync(lambda db: list(db["alerts"].rows))] == [RULE]


async def test_a_backup_that_cannot_be_made_is_said(house: Talk, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("in the way")
    (answer,) = await house.ask("/admin backup", OWNER)
    assert answer.text == f"No copy was made in {tmp_path / 'backups'} (File exists)."


async def test_provisional_figures_are_accepted_once_the_owner_knows_what_would_fire(house: Talk) -> None:
    day = "2020-12-11"

    async def store(provisional: Provisional) -> None:
        bar = Bar("IWM", day, 231.5, 190.0, 191.0, 188.0, provisional=provisional)
        after = house.now
        await house.database.run(lambda db: add(db, Bar, [bar], source="sample", observed_at=after))

    await house.database.run(lambda db: db.execute("DELETE FROM bars WHERE (ticker, session) = (?, ?)", ("IWM", day)))
    for chat_id in (ME, OWNER):
        await house.ask("/alert excess 1d > 5pp", chat_id)
    await store(Provisional.RANGE)
    (listed,) = await house.ask("/admin accept", OWNER)
    assert listed.text == (
        "Provisional figures\nIWM's close of Fri 11 Dec 2020 is provisional and not used: sample data gives "
        "231.5, outside the low and high of the same session."
    )
    answer, *_ = await house.ask("/compare", ME)
    assert "is provisional and not used" in answer.text
    assert "Thu 10 Dec 2020" in answer.text.splitlines()[0]
    (preview,) = await house.press(listed, "Accept IWM of 11 Dec 2020")
    assert preview.text == (
        "Accept 1 provisional figure of IWM, Fri 11 Dec 2020?\n"
        "2 alerts in 2 chats would fire at the next check.\n#1 excess 1d > 5pp"
    )
    (confirmed,) = await house.press(preview, "Accept")
    assert confirmed.text == "Accepted. 1 figure of IWM is used from now on."
    answer, *_ = await house.ask("/compare", ME)
    assert "provisional" not in answer.text
    assert "Fri 11 Dec 2020" in answer.text.splitlines()[0]
    (empty,) = await house.ask("/admin accept", OWNER)
    assert empty.text == "Provisional figures\nNone. Every stored figure is used."
    (refused,) = await house.ask("/admin accept IWM 2020-12-11", OWNER)
    assert refused.text.startswith("IWM has no provisional figure of 2020-12-11.")
    (refused,) = await house.ask("/admin accept QQQ", OWNER)
    assert refused.text.startswith("“QQQ” is not a fund of this bot.")
