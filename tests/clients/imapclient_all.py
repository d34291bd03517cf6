"""IMAPClient against the server: what is put is what is read, in all the ways it knows."""
import datetime
import os

from imapclient import IMAPClient

PORT, USER, PASSWORD = int(os.environ["IMAP"]), os.environ["U"], os.environ["PW"]


def login():
    client = IMAPClient("127.0.0.1", PORT, ssl=False)
    client.login(USER, PASSWORD)
    return client


one, two = login(), login()
assert one.has_capability("MOVE") and one.has_capability("UIDPLUS")
assert one.namespace().personal[0] == ("", "/")
assert any(b"Junk" in flags or b"\\Junk" in flags for flags, _, _ in one.list_folders())
one.create_folder("Größe/日本")
assert "Größe/日本" in [name for _, _, name in one.list_folders()]
one.subscribe_folder("Größe/日本")
assert [name for _, _, name in one.list_sub_folders() if name.startswith("G")] == ["Größe/日本"]

when = datetime.datetime(2026, 3, 2, 12, 30, 15)
mail = "From: =?utf-8?q?=C3=84?= <a@x.test>\r\nTo: b@x.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n{}\r\n"
for number in range(10):
    said = one.append("INBOX", mail.format("text %d" % number).encode(), [b"\\Flagged"] if number % 2 else (), when)
    assert b"APPENDUID" in said, said
opened = one.select_folder("INBOX")
assert opened[b"EXISTS"] == 10 and opened[b"UIDNEXT"] == 11, opened
assert one.search(["FLAGGED"]) == [2, 4, 6, 8, 10]
assert one.search(["SUBJECT", "grüße"], "UTF-8") == list(range(1, 11))
assert one.search("NOT FLAGGED UID 1:5") == [1, 3, 5]
assert one.sort(["REVERSE ARRIVAL"]) and len(one.thread()) >= 1
got = one.fetch([3], ["ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE", "FLAGS", "BODY.PEEK[]", "RFC822.SIZE"])[3]
assert got[b"BODY[]"] == mail.format("text 2").encode() and got[b"RFC822.SIZE"] == len(got[b"BODY[]"])
assert got[b"ENVELOPE"].to[0].mailbox == b"b" and got[b"INTERNALDATE"] == when, got
assert got[b"BODYSTRUCTURE"][:2] == (b"text", b"plain") or got[b"BODYSTRUCTURE"][0].lower() == b"text"

two.select_folder("INBOX")
two.idle()
flags = one.add_flags([3], [b"\\Answered", b"$Label"])[3]
assert set(flags) - {b"\\Recent"} == {b"\\Answered", b"$Label"}, flags
flags = one.remove_flags([3], [b"\\Answered"])[3]
assert set(flags) - {b"\\Recent"} == {b"$Label"}, flags
one.delete_messages([1, 2])
one.expunge()
heard = []
while not any(line[-1] == b"EXPUNGE" or line[1] == b"EXPUNGE" for line in heard):
    more = two.idle_check(timeout=30)
    assert more, "nothing was told: %r" % heard
    heard += more
two.idle_done()
assert two.search() == list(range(3, 11)), two.search()
two.noop()

one.copy([3, 4], "Größe/日本")
one.move([5], "Größe/日本")
assert one.folder_status("Größe/日本", ["MESSAGES"])[b"MESSAGES"] == 3
one.rename_folder("Größe", "Grösse")
assert one.folder_exists("Grösse/日本") and not one.folder_exists("Größe/日本")
one.select_folder("Grösse/日本", readonly=True)
bodies = [data[b"BODY[TEXT]"] for _, data in sorted(one.fetch([1, 2, 3], ["BODY[TEXT]"]).items())]
assert bodies == [b"text 2\r\n", b"text 3\r\n", b"text 4\r\n"], bodies
assert all(b"\\Seen" not in flags for flags in one.get_flags([1, 2, 3]).values())
one.unselect_folder()
one.delete_folder("Grösse/日本")
root = one.get_quota_root("INBOX")
assert root, root
one.logout()
two.logout()
print("all done")
