"""imaplib of Python with UTF8=ACCEPT: names and headers as UTF-8, both ways."""
import imaplib
import os

PORT, USER, PASSWORD = int(os.environ["IMAP"]), os.environ["U"], os.environ["PW"]


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


one = imaplib.IMAP4("127.0.0.1", PORT)
ok(one.login(USER, PASSWORD))
offered = ok(one.capability())[0].split()
assert b"UTF8=ACCEPT" in offered and b"UTF8=ONLY" not in offered, offered
ok(one.enable("UTF8=ACCEPT"))
assert one.utf8_enabled
ok(one.create('"Entwürfe/日本"'))
names = ok(one.list('""', '"Entw*"'))
assert names == ['(\\HasChildren) "/" "Entwürfe"'.encode(), '(\\HasNoChildren) "/" "Entwürfe/日本"'.encode()], names
ok(one.rename('"Entwürfe/日本"', '"Größe"'))
assert ok(one.status('"Größe"', "(MESSAGES)")) == ['"Größe" (MESSAGES 0)'.encode()]
ok(one.subscribe('"Größe"'))
names = ok(one.lsub('""', '"Gr*"'))
assert len(names) == 1 and names[0].endswith('"/" "Größe"'.encode()), names

mail = "Subject: Grüße\r\nFrom: Jörg <jörg@example.test>\r\n\r\nä\r\n".encode()
# What imaplib makes of `append` differs by version: the command is put together here.
def append(text, wrapped):
    before, behind = (" UTF8 (~", ")") if wrapped else (" ", "")
    one.send(b"P1 APPEND \"Gr\xc3\xb6\xc3\x9fe\"" + before.encode() + b"{%d+}\r\n" % len(text) + text + behind.encode() + b"\r\n")
    while not (line := one.readline()).startswith(b"P1 "):
        pass
    assert line.startswith(b"P1 OK [APPENDUID "), line


append(mail, True)
append(mail, False)
assert ok(one.select('"Größe"')) == [b"2"]
assert ok(one.search(None, "SUBJECT", '"grüße"')) == [b"1 2"]
got = ok(one.fetch("1", "(BODY.PEEK[] ENVELOPE)"))
assert got[0][1] == mail, got
assert '"Grüße"'.encode() in got[0][0] + got[1] and "jörg".encode() in got[0][0] + got[1], got
try:
    one.search("UTF-8", "ALL")
    raise AssertionError("a charset after UTF8=ACCEPT")
except imaplib.IMAP4.error as error:
    assert "utf8" in str(error).lower() or "charset" in str(error).lower(), error
one.logout()
