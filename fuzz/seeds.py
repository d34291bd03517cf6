#!/usr/bin/env python3
"""Writes the hand-made seeds of every fuzz target: fuzz/corpus/TARGET/seed-NAME.

Dialogues come from tests/transcripts, everything else stands here. The same input
gives the same files. Seeds that a run found (seed-run-…) are left alone. How they
are made is in README.md.
"""
import base64
import re
import struct
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
TRANSCRIPTS = FUZZ.parent / "tests" / "transcripts"
MOST = 32 * 1024


def put(target, name, data):
    if isinstance(data, str):
        data = data.encode()
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48]
    folder = FUZZ / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    assert len(data) <= MOST, (target, name, len(data))
    (folder / f"seed-{name}").write_bytes(data)


def unescaped(text):
    """The bytes of a line of a transcript."""
    marks = {"r": b"\r", "n": b"\n", "0": b"\0", "t": b"\t", "\\": b"\\"}
    parts = re.split(r"\\(x[0-9a-fA-F]{2}|[rn0t\\])", text)
    out = b""
    for at, part in enumerate(parts):
        if at % 2 == 0:
            out += part.encode()
        elif part[0] == "x":
            out += bytes([int(part[1:], 16)])
        else:
            out += marks[part]
    return out


def dialogue(path):
    """What the client and what the server of a transcript say."""
    client, server = b"", []
    for line in path.read_text().splitlines():
        if line.startswith("C: ") or line == "C:":
            client += unescaped(line[3:]) + b"\r\n"
        elif line.startswith("C+ "):
            client += unescaped(line[3:])
        elif line.startswith(("S: ", "S* ")):
            server.append(line[3:].replace("…", "x"))
    return client, "\r\n".join(server).encode() + b"\r\n"


def sessions():
    """Dialogues for the sessions of both sides."""
    for path in sorted((TRANSCRIPTS / "imap").glob("*.txt")):
        client, server = dialogue(path)
        put("imap_server_session", path.stem, client[:4096])
        # All switches but those whose answers depend on how they are cut.
        if path.stem.startswith(("rfc9051", "rfc3501", "rfc7162", "rfc5256", "rfc9208", "rfc5465")):
            put("imap_client_session", path.stem, b"\x2e" + server[:2048])
    for path in sorted((TRANSCRIPTS / "pop3").glob("*.txt")):
        put("pop3_server_session", path.stem, dialogue(path)[0])
    # The first byte chooses role and switches, the second the size of the pieces.
    for folder, switches in [("smtp", 8), ("submission", 1), ("lmtp", 2)]:
        for path in sorted((TRANSCRIPTS / folder).glob("*.txt")):
            client, server = dialogue(path)
            put("smtp_server_session", f"{folder}-{path.stem}", bytes([switches, 7]) + client[:4096])
            role = 1 if folder == "lmtp" else 0
            put("smtp_client_session", f"{folder}-{path.stem}", bytes([role | 16, 5]) + server[:2048])
    login = "USER a\r\nPASS b\r\n"
    for name, text in {
        "stls": "STLS\r\nCAPA\r\n",
        "all-commands": "CAPA\r\nNOOP\r\nSTAT\r\nLIST\r\nLIST 1\r\nUIDL\r\nUIDL 2\r\nTOP 1 0\r\nRETR 3\r\nDELE 2\r\nRSET\r\nLANG *\r\nUTF8\r\nQUIT\r\n",
        "numbers": "LIST 0\r\nRETR 4\r\nTOP 1 99999999999999999999\r\nDELE -1\r\nDELE 1 2\r\n",
        "auth": "AUTH PLAIN AGEAYg==\r\n",
        "auth-in-lines": "AUTH LOGIN\r\nYQ==\r\nYg==\r\nSTAT\r\n",
        "bare-line-ends": "NOOP\nNOOP\rNOOP\r\n\r\n\n",
        "long-line": "USER " + "x" * 300 + "\r\nQUIT\r\n",
        "other-protocol": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    }.items():
        put("pop3_server_session", name, text)
        put("pop3_server_session", f"{name}-logged-in", login + text)
    for name, text in {
        "starttls-injected": "a STARTTLS\r\nb CAPABILITY\r\n",
        "literals": "a LOGIN {1}\r\nx {1+}\r\ny\r\nb SELECT {3+}\r\nbox\r\nc CREATE ~{1+}\r\nx\r\n",
        "announced": "a LOGIN {4294967295}\r\nb FROB {99999999999999999999+}\r\n",
        "append": "a APPEND INBOX (\\Seen) \" 1-Jan-2026 00:00:00 +0000\" {5}\r\nhello\r\nb APPEND x {3+}\r\nabc {2+}\r\nde\r\n",
        "catenate": "a APPEND INBOX CATENATE (URL \"/x;UIDVALIDITY=1/;UID=2\" TEXT {2+}\r\nhi)\r\n",
        "idle": "a IDLE\r\nDONE\r\nb IDLE\r\nc NOOP\r\n",
        "parentheses": "a SEARCH " + "(" * 100 + "ALL" + ")" * 100 + "\r\n",
        "id": "a ID (" + " ".join('"n%d" "v"' % n for n in range(31)) + ")\r\n",
        "compress": "a COMPRESS DEFLATE\r\nb COMPRESS LZMA\r\n",
        "authenticate": "a AUTHENTICATE PLAIN\r\nAHgAeQ==\r\nb UNAUTHENTICATE\r\nc AUTHENTICATE LOGIN\r\n*\r\n",
        "long-line": "a NOOP " + "x" * 300 + "{3+}\r\nb NOOP\r\n\r\n",
    }.items():
        put("imap_server_session", name, text)
    ready = "* OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ IDLE AUTH=PLAIN ENABLE] x\r\n"
    for name, switches, text in [
        ("preauth", 0x2e, "* PREAUTH x\r\n"),
        ("starttls", 0x00, "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] x\r\nA1 OK go\r\n"),
        ("login", 0x2e, ready + "A1 OK [CAPABILITY IMAP4rev1 IDLE] in\r\nA2 OK x\r\n+ go\r\nA3 OK x\r\nA4 NO x\r\n+ idling\r\n* 4 EXISTS\r\nA5 OK x\r\n* BYE x\r\nA6 OK x\r\n"),
        ("scram", 0x0e, "* OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 SASL-IR] x\r\n+ cj1yLHM9YzJGc2RBPT0saT0x\r\n"),
        ("body", 0x2e, ready + "A1 OK x\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nabc FLAGS ())\r\n"),
        ("huge-literal", 0x2e, ready + "* LIST () \"/\" {99999999999}\r\n"),
        ("nesting", 0x2e, ready + "* 1 FETCH (BODYSTRUCTURE " + "(" * 50 + "\r\n"),
        ("bye", 0x2e, "* BYE no\r\n"),
        ("deflate", 0x3e, ready + "A1 OK x\r\nA2 OK x\r\nA3 OK compressed\r\n"),
        ("numbers", 0x2e, ready + "A1 OK x\r\n* ESEARCH (TAG \"A2\") UID ALL 1:4294967295\r\n* VANISHED (EARLIER) 1:9\r\n"),
    ]:
        put("imap_client_session", name, bytes([switches]) + text.encode())
    reply = "220 x\r\n250-x\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SIZE 100\r\n250-AUTH PLAIN SCRAM-SHA-256\r\n250 SMTPUTF8\r\n"
    for name, switches, text in [
        ("sent", 0, reply + "250 2.1.0 a\r\n250 b\r\n550 5.1.1 c\r\n354 go\r\n250 done\r\n221 x\r\n"),
        ("chunks", 2, reply + "250 a\r\n250 b\r\n250 c\r\n250 d\r\n"),
        ("lmtp", 1, reply + "250 a\r\n250 b\r\n250 c\r\n354 d\r\n250 e\r\n452 4.2.2 f\r\n"),
        ("starttls", 8, "220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n250 x\r\n"),
        ("injected", 8, "220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n250 x\r\n"),
        ("auth", 16, reply + "235 2.7.0 in\r\n250 a\r\n"),
        ("auth-refused", 16, reply + "334 \r\n535 5.7.8 no\r\n"),
        ("no-ehlo", 0, "220 x\r\n502 no\r\n250 x\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n250 e\r\n"),
        ("shutting-down", 0, "421 4.3.2 x\r\n"),
        ("odd-lines", 0, "220-\r\n220\r\n2x0 y\r\n250\n\r\n"),
        ("many-lines", 0, "220-x\r\n" * 40),
    ]:
        put("smtp_client_session", name, bytes([switches, 9]) + text.encode())


def commands():
    """One line each."""
    kept = set()
    for path in sorted((TRANSCRIPTS / "imap").glob("*.txt")):
        for line in dialogue(path)[0].split(b"\r\n"):
            found = re.match(rb"[A-Za-z0-9.]+ ((?:UID )?[A-Za-z]+)", line)
            name = found and found.group(1).decode().lower()
            if name and name not in kept and len(line) < 400:
                kept.add(name)
                put("imap_command", name, line)
    answers = set()
    for path in sorted((TRANSCRIPTS / "imap").glob("*.txt")):
        for line in dialogue(path)[1].split(b"\r\n"):
            found = re.match(rb"\* (?:\d+ )?([A-Za-z]+)", line)
            name = found and found.group(1).decode().lower()
            if name and name not in answers and len(line) < 1000:
                answers.add(name)
                put("imap_response", name, line)
    for name, text in {
        "envelope": '* 1 FETCH (ENVELOPE ("d" "s" (("n" NIL "m" "h")) NIL NIL ((NIL NIL "g" NIL)(NIL NIL NIL NIL)) NIL NIL NIL "<i>"))',
        "bodystructure": '* 1 FETCH (BODYSTRUCTURE (("text" "plain" ("charset" "x") NIL NIL "7bit" 1 1 NIL NIL NIL NIL)("message" "rfc822" NIL NIL NIL "7bit" 9 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" NIL NIL NIL "7bit" 1 1) 2) "mixed" ("boundary" "b") ("inline" NIL) ("en" "de") "l"))',
        "codes": "a NO [BADEVENT (MessageNew)] x",
        "copyuid": "a OK [COPYUID 1 1:3,5 7:10] x",
        "modified": "a OK [MODIFIED 7,9:12] x",
        "thread": "* THREAD (2)(3 6 (4 23)(44 7 96))((1)(5))",
        "metadata": '* METADATA "" ("/shared/comment" {2}\r\nab /private/x NIL)',
        "acl": '* ACL x "ann" lrswi "-bob" te',
        "continuation": "+ cj1yLHM9c2FsdCxpPTQwOTY=",
        "binary": "* 1 FETCH (BINARY[1.2]<7> ~{3}\r\na\0b BINARY.SIZE[1] 3)",
    }.items():
        put("imap_response", name, text)
    for name, text in {
        "search": 'a UID SEARCH RETURN (PARTIAL -1:-100 SAVE) CHARSET UTF-8 OR NOT (SEEN) FUZZY SUBJECT "x" MODSEQ "/flags/\\\\Seen" all 7',
        "fetch": "a FETCH 1:*,$ (BODY.PEEK[1.2.HEADER.FIELDS.NOT (To \"From\")]<0.10> BINARY[3] RFC822 ENVELOPE) (CHANGEDSINCE 5 VANISHED)",
        "nesting": "a SEARCH " + "(" * 70 + "ALL" + ")" * 70,
        "list-all": 'a LIST (REMOTE SUBSCRIBED RECURSIVEMATCH) "" (a* %/b) RETURN (CHILDREN STATUS (MESSAGES SIZE) MYRIGHTS METADATA (/shared/comment))',
        "stars": 'a LIST "" ' + "*a" * 100,
        "notify": "a NOTIFY SET STATUS (selected (MessageNew (UID) FlagChange)) (subtree (a b) (MailboxName))",
        "store": "a UID STORE 1,3:* (UNCHANGEDSINCE 9) -FLAGS.SILENT (\\Seen $x)",
        "setmetadata": 'a SETMETADATA "" (/private/a/b ~{1+}\r\nx /shared/c NIL)',
        "qresync": "a SELECT x (QRESYNC (7 8 1:* (1,2 3,4)) CONDSTORE)",
        "esort": "a UID SORT RETURN (COUNT ALL) (REVERSE DISPLAYFROM DATE) UTF-8 TEXT {1+}\r\nx",
    }.items():
        put("imap_command", f"made-{name}", text)
    for at, text in enumerate(["CAPA", "USER a b", "PASS  two spaces ", "APOP a 0123456789abcdef0123456789abcdef", "AUTH",
                 "AUTH SCRAM-SHA-256 =", "STLS", "LANG *", "LANG de-AT", "UTF8", "STAT", "LIST", "LIST 1", "UIDL 4294967296",
                 "TOP 1 0", "TOP 1", "RETR 1", "dele 1", "RSET", "NOOP x", "QUIT", "", " ", "USER \u00e4", "\u0000"]):
        put("pop3_command", f"{at:02}-{text}", text)
    for at, text in enumerate(["EHLO x.test", "HELO [127.0.0.1]", "EHLO [IPv6:::1]", "LHLO x", "MAIL FROM:<> SIZE=1 BODY=8BITMIME SMTPUTF8",
                 "MAIL FROM:<@a,@b:c@d.test> RET=HDRS ENVID=a+2Bb", "mail from:<\"a b\"@c.test> AUTH=<>",
                 "RCPT TO:<a+b@c.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b", "RCPT TO:<postmaster>", "RCPT TO:<>",
                 "RCPT TO:<\u00e4@\u00e4.test>", "DATA", "BDAT 0 LAST", "BDAT 18446744073709551616", "RSET", "VRFY a", "EXPN b",
                 "NOOP x", "HELP", "QUIT", "STARTTLS", "AUTH PLAIN AGEAYg==", "AUTH LOGIN =", "ETRN x", "250-x", "550 5.1.1 x", "354", ""]):
        put("smtp_command", f"{at:02}-{text}", text)
    for at, text in enumerate(["a@b", "a.b+c@d.test", "\"a\\\" b\"@c.test", "a@[127.0.0.1]", "a@[IPv6:2001:db8::1]", "a@[x:y]", "\u00e4@\u00fc.test",
                 "a@xn--tda.test", "@a", "a@", "a", "a@b@c", "a..b@c", ".a@b", "a@-b.test", "a@b.", "a@" + "b" * 64 + ".test",
                 "x" * 65 + "@y.test", "a@1.2.3.4", "a b@c", "", "\"\"@b", "a@\u3002b"]):
        put("smtp_address", f"{at:02}-{text}", text)
    for at, text in enumerate(["INBOX", "&ZeVnLIqe-", "&-", "&", "a&-b", "&AOQ", "&AGE-", "&Jjo-&AOQ-", "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "&2D3eAA-",
                 "&2D0-", "&AOQ-&AOQ-", "\u65e5\u672c\u8a9e", "a/b", "\x7f", "&,,,,-", "\u00e4&-"]):
        put("imap_utf7", f"{at:02}-{text}", text)
    for at, text in enumerate(["INBOX", "inbox/x", "a/b/c", "../x", ".", "a//b", "/a", "a/", "e\u0301", "\u00e9", "\u0000", "a\u007fb", "\u202ea", "a" * 300,
                 "/".join("a" * 40), "$Important", "\\Seen", "a*b", "Other Users/x", "\ufeff"]):
        put("mailbox_name", f"{at:02}-{text}", text)
    for largest, text in [(10, "1"), (10, "*"), (0, "*"), (10, "1:*"), (10, "*:3,7"), (4294967295, "1:4294967295"), (5, "4294967295"),
                          (9, "3,1,2,2:1"), (9, "$"), (9, "0"), (9, "1:"), (9, ",1"), (9, "4294967296"), (9, "1:2:3"), (9, "01"), (100, "50:1,99:*")]:
        put("imap_sequence_set", f"{text.replace('*', 'all').replace('$', 'saved').replace(',', '-and-').replace(':', '-to-')}-of-{largest}", struct.pack("<I", largest) + text.encode())
    for name, data in {
        "lines": b"a\r\nb\r\n\r\n", "bare-lf": b"a\nb\n", "bare-cr": b"a\rb\r\r\n", "too-long": b"x" * 40 + b"\r\ny\r\n", "exact": b"x" * 16 + b"\r\n",
        "cr-at-the-limit": b"x" * 15 + b"\r\r\n", "one-over": b"x" * 17 + b"\r\n", "endless": b"x" * 100, "nul": b"\0\r\n\0", "empty": b"\r\n",
        "lf-behind-long": b"x" * 30 + b"\n" + b"y\r\n",
    }.items():
        put("frame", name, data)


# RFC 5092 §9, RFC 4467 §9, RFC 2192 §9, and what is none.
URLS = [
    "imap://psicorp.example.org/~peter/%E6%97%A5%E6%9C%AC%E8%AA%9E/%E5%8F%B0%E5%8C%97",
    "imap://;AUTH=GSSAPI@minbari.example.org/gray-council/;uid=20/;section=1.2",
    "imap://;AUTH=*@minbari.example.org/gray%20council?SUBJECT%20shadows",
    "imap://john;AUTH=*@minbari.example.org/babylon5/personel?charset%20UTF-8%20SUBJECT%20%7B14+%7D%0D%0A%D0%98%D0%B2%D0%B0%D0%BD%D0%BE%D0%B2%D0%B0",
    "imap://user;AUTH=GSSAPI@SERVER2/",
    "imap://michael@example.org/INBOX",
    "imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024",
    "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred:internal:91354a473744909de610943775f92038",
    "imap://joe@example.com/INBOX/;uid=20/;section=1.2;expire=2004-12-31T23:59:59Z;urlauth=anonymous",
    "imap://owner@example.com/x/;uid=1;urlauth=user+bob",
    "imap://example.com/x;UIDVALIDITY=1/;UID=2/;SECTION=HEADER;URLAUTH=authuser",
    "/INBOX;UIDVALIDITY=785799047/;UID=113330/;section=1.5.9",
    "INBOX/;uid=1", ";UID=20/;section=TEXT", "/a%2Fb/;UID=1/;PARTIAL=0", "//example.org/x", "imap://[2001:db8::1]:143/x",
    "imaps://example.org/", "imap://h/%00/;UID=1", "imap://h/%zz", "imap://h/x/;UID=0", "imap://h/x/;UID=4294967296",
    "imap://h/../;UID=1", "imap://@/", "",
]

WORDS = "=?utf-8?Q?J=C3=BCrgen?= =?utf-8?B?IE3DvGxsZXI=?="
MAILS = {
    "plain": "From: a@b.test\r\nTo: c@d.test\r\nSubject: x\r\nDate: Mon, 2 Mar 2026 23:30:00 -0500\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n",
    "nothing": "\r\n",
    "no-blank-line": "Subject: no blank line\r\n",
    "not-a-header": "this is not a header\r\nSubject: x\r\n\r\nbody\r\n",
    "folded-first": " folded\r\nSubject: x\r\n\r\nbody\r\n",
    "bare-lf": "Subject: x\nTo: a@b\n\nbody\n",
    "colons": ":\r\n: x\r\n:: y\r\n\r\nbody\r\n",
    "two-of-each": "From: a@b\r\nFrom: c@d\r\nBcc: x@y\r\nBcc: z@y\r\nReturn-Path: <>\r\nReceived: a\r\nReceived: b\r\nDate: x\r\n\r\nb\r\n",
    "words": f"Subject: {WORDS}\r\nFrom: {WORDS} <j@x>\r\n\r\nbody\r\n",
    "bad-words": "Subject: =?utf-8?B?//8=?= =?x?Q?=GG?= =?utf-8?Q?open =?=?x?q?a\r\n\r\nbody\r\n",
    "comment-backslash": "From: a@b (comment \\\r\nTo: (\\\r\nContent-Type: text/plain (\\\r\n\r\nbody\r\n",
    "addresses": "From: \"open <a@b>\r\nTo: <@r1,@r2:a@b\r\nCc: a b c\r\nReply-To: group:a@b, c@d;\r\nSender: ;;;,,,\r\n\r\nbody\r\n",
    "multipart": "Content-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\npre\r\n--b 1\r\n\r\nfirst\r\n--b 1\r\nContent-Type: image/png; name=\"x\"\r\nContent-Transfer-Encoding: base64\r\n\r\nUE5H\r\n--b 1--\r\npost\r\n",
    "no-boundary": "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
    "prefix-boundary": "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=aa\r\n\r\n--aa\r\n\r\nx\r\n--aa--\r\n--a--\r\n",
    "digest": "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: inner\r\n\r\nx\r\n--b--\r\n",
    "rfc822": "Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\nSubject: a\r\n\r\nSubject: b\r\n\r\nx\r\n",
    "nested": "".join(f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(60)) + "\r\nx\r\n",
    "nested-messages": "Content-Type: message/rfc822\r\n\r\n" * 60,
    "parts": "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + "--b\r\n\r\nx\r\n" * 200 + "--b--\r\n",
    "rfc2231": "Content-Type: application/x; name*0*=utf-8''a%20; name*1=b; name*9=z; name*x*=q; name*1*=%\r\nContent-Disposition: attachment; filename*=iso-8859-1'en'%e4\r\n\r\nx\r\n",
    "many-parameters": "Content-Type: text/plain" + "".join(f"; p*{n}*=x" for n in range(250)) + "\r\n\r\nx\r\n",
    "bad-type": "Content-Type: ;;; charset\r\nContent-Disposition: =\r\nContent-Language: ,,a,\r\n\r\nx\r\n",
    "quoted-printable": "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe=\r\n=G1 = \r\n=\r\n",
    "base64": "Content-Transfer-Encoding: base64\r\n\r\n!!!!====AA=A\r\nbmVlZGxl\r\n",
    "list-subject": "Subject: " + "[x] " * 50 + "Re: [y] z (fwd)\r\nReferences: <a@b> <c\r\n @d> <>\r\n\r\nx\r\n",
    "eight-bit": b"Subject: caf\xe9\r\nFrom: J\xfcrgen <j@x>\r\n\r\n\xc3\x28\xff\xfe\0\r\n",
}
SEARCHES = [
    "ALL", "TEXT needle", "BODY \"x\"", "SUBJECT re", "FROM j@x", "HEADER Subject \"\"", "HEADER X-None y", "NOT TEXT zz", "OR SEEN UNSEEN",
    "CHARSET UTF-8 TEXT {2+}", "SENTON 2-Mar-2026", "SENTSINCE 1-Jan-1970", "LARGER 10 SMALLER 1000", "CC a BCC b TO c", "KEYWORD $Work",
    "UID 7", "2:3", "EMAILID M0123", "YOUNGER 100 OLDER 5", "MODSEQ 1", "(((ALL)))", "SAVEDON 2-Mar-2026",
]

CONFIG = """hostname = "mail.example.test"
[smtp_in]
enable = true
[[smtp_in.listeners]]
address = "127.0.0.1:2525"
tls = "none"
[imap]
enable = true
command_size = 65536
idle_timeout = "30m"
separator = "/"
[[imap.listeners]]
address = "[::1]:143"
tls = "none"
plaintext_login = true
"""
POLICIES = {
    "enforce": "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n",
    "none": "version:STSv1\nmode:none\nmax_age:9999999999",
    "twice": "version: STSv1\nmode: testing\nmode: none\nx: y: z\nmx: a.test\nmax_age: 1\n",
    "record": b"v=STSv1; id=20160831085700Z;\xffv=spf1 -all",
    "places": b"v=TLSRPTv1; rua=mailto:a%2Cb@x.test, https://R.test:444/v1?x=y ;",
}
SETTINGS = {
    "whole": CONFIG, "empty": "", "no-table": "[nothing]\nx = 1\n", "wrong-type": "hostname = 5\n[imap]\nenable = \"yes\"\n", "not-toml": "[[[\n",
    "rules": CONFIG + "[[imap.listeners.rules]]\naction = \"deny\"\npeers = [\"10.0.0.0/8\"]\n[[imap.listeners.rules]]\naction = \"allow\"\npeers = []\nlimits.connections = 1\n",
    "sizes": "[smtp_in]\nmessage_size = \"50MB\"\ncommand_timeout = \"5m\"\nrecipients = -1\n", "twice": "hostname = \"a\"\nhostname = \"b\"\n",
    "store": "[store]\nengine = \"redb\"\nmemory = \"64MB\"\nscrub = \"7d\"\nscrub_rate = \"1MB\"\n", "search": "[search]\nenable = false\n",
    "logins": "[logins]\nfailures = 5\n", "numbers": "[imap]\nliterals = 99999999999999999999\nnesting = 0\n", "unicode": "hostname = \"\\u00e4.test\"\n",
}

CERTIFICATE = base64.b64decode("""
    MIICIzCCAcigAwIBAgITawIJyqfcZPmMU6aLOjWnFZc/zDAKBggqhkjOPQQDAjAvMQwwCgYDVQQDDANBbm4xHzAdBgkqhkiG9w0B
    CQEWEGFubkBleGFtcGxlLnRlc3QwHhcNMjYxMTI4MDgwMTAxWhcNMzYxMTI1MDgwMTAxWjAvMQwwCgYDVQQDDANBbm4xHzAdBgkq
    hkiG9w0BCQEWEGFubkBleGFtcGxlLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQhgHiwooIZOC87CHKorR4J5BUBZvO4
    RllOqZv8HZsHtpZYNyz3ZZdCtCgL8hzUrKHNoxNl7zT0SwjjCkx2h5Lso4HCMIG/MB0GA1UdDgQWBBR3hODO7aHraGwNFLm9T6wK
    QT3cszAfBgNVHSMEGDAWgBR3hODO7aHraGwNFLm9T6wKQT3cszAPBgNVHRMBAf8EBTADAQH/MGwGA1UdEQRlMGOBEGFubkBleGFt
    cGxlLnRlc3SBFmJvYkB4bi0tbWxsZXIta3ZhLnRlc3SCEW1haWwuZXhhbXBsZS50ZXN0oCQGCCsGAQUFBwgJoBgMFmp4YzN4YmNy
    Z0BleGFtcGxlLnRlc3QwCgYIKoZIzj0EAwIDSQAwRgIhAJtMJaGXT1j2qkIk3iPCpRR0+y2VmoinymJrqb//WplyAiEAzWRtHlHB
    R+A5CylmO6qb+YeLsGNiyqiwHqpM4R0H71I=
""")


def others():
    for at, text in enumerate(URLS):
        put("imap_url", f"{at:02}-{text[:36]}", text)
    for at, (name, mail) in enumerate(MAILS.items()):
        mail = mail if isinstance(mail, bytes) else mail.encode()
        put("message_structure", name, mail)
        put("submission_headers", name, mail)
        put("seven_bit", name, bytes([at % 9 + 1]) + mail)
        search = SEARCHES[at % len(SEARCHES)]
        put("search", f"{name}", search.encode() + b"\n" + mail)
    for name, text in POLICIES.items():
        put("published_policy", name, text)
    for at, search in enumerate(SEARCHES):
        put("search", f"key-{at:02}-{search}", search.encode() + b"\n" + MAILS["quoted-printable" if at % 2 else "multipart"].encode())
    for name, text in SETTINGS.items():
        put("settings", name, text)
    put("certificate", "whole", CERTIFICATE)
    for at in (1, 4, 30, 200, len(CERTIFICATE) // 2, len(CERTIFICATE) - 1):
        put("certificate", f"cut-at-{at}", CERTIFICATE[:at])
        changed = bytearray(CERTIFICATE)
        changed[at] ^= 0x80
        put("certificate", f"changed-at-{at}", bytes(changed))
    put("certificate", "endless-length", b"\x30\x84\xff\xff\xff\xff")
    put("certificate", "indefinite-length", b"\x30\x80" * 50)
    put("certificate", "nested", b"\x30\x82\x03\xe8" * 100)
    for name, messages in {
        "plain": [b"\0ann\0secret"], "plain-authzid": [b"bob\0ann\0dsecret"], "plain-bad": [b"ann"], "plain-tab": [b"\0a\tb\0c"],
        "login": [b"ann", b"secret"], "login-empty": [b"", b""],
        "scram": [b"n,,n=ann,r=abc", b"c=biws,r=abcdef,p=AAAA"], "scram-authzid": [b"n,a=bob,n=ann,r=abc", b"c=bixhPWJvYiw=,r=abc,p=AA=="],
        "scram-bind": [b"p=tls-exporter,,n=ann,r=abc", b"c=cD10bHMtZXhwb3J0ZXIsLA==,r=abc,p=AA=="], "scram-y": [b"y,,n=ann,r=abc"],
        "scram-escapes": [b"n,,n=a=2Cb=3Dc,r=x", b"c=biws,r=x,p=x"], "scram-mandatory": [b"n,,m=x,n=ann,r=x"],
        "oauth": [b"n,a=ann@example.test,\x01host=x\x01port=143\x01auth=Bearer token\x01\x01"], "xoauth": [b"user=ann\x01auth=Bearer token\x01\x01", b""],
        "external": [b""], "external-name": [b"ann@example.test"],
    }.items():
        put("sasl_server", name, b"\xff".join(messages))
    for name, messages in {
        "nothing": [b""], "login": [b"Username:", b"Password:"], "scram": [b"r=BwcHBw,s=c2FsdA==,i=4096", b"v=AAAA"], "scram-error": [b"e=invalid-proof"],
        "scram-few": [b"r=x,s=c2FsdA==,i=1"], "scram-many": [b"r=x,s=c2FsdA==,i=99999"], "scram-no-salt": [b"r=x,s=,i=4096"],
        "scram-odd": [b"m=x,r=y,s=!,i=-1"], "oauth": [b'{"status":"invalid_token","scope":"mail"}'], "oauth-odd": [b'{"status":'], "long": [b"x" * 3000],
    }.items():
        put("sasl_client", name, b"\xff".join(messages))
    for name, start, end, at, damage, data in [
        ("short", 0, 5, 3, 0, b"hello"), ("empty", 0, 0, 0, 0, b""), ("frames", 10, 90_000, 500, 1, b"0123456789abcdef" * 8), ("backwards", 9, 1, 77, 2, b"abc"),
        ("beyond", 2**63, 2**64 - 1, 65535, 3, b"x"), ("zeros", 0, 300_000, 40, 5, bytes(64)), ("mail", 5, 60, 9, 4, MAILS["multipart"].encode()),
        ("damaged-head", 0, 1, 0, 255, b"abcdef"), ("random", 1, 2, 30, 129, bytes((n * 197 + n // 7 * 31) % 256 for n in range(300))), ("whole", 0, 2**64 - 1, 8, 7, b"ab" * 50),
    ]:
        put("store_blob", name, struct.pack("<QQHB", start, end, at, damage) + data)
    for name, data in {
        "empty": b"", "zeros": bytes(40), "ones": b"\xff" * 40, "counting": bytes(range(64)), "blob": bytes([0]) + bytes(range(1, 40)),
        "deletion": bytes([1]) + bytes(range(40, 90)), "note": bytes([2]) + b"\x00\x05" + bytes(50), "large": b"\x00\x00\x01" + b"\x7f" * 45,
        "short": bytes(31), "row": b"\x01" + bytes(47), "row-2": b"\x02" + bytes(range(80)), "damaged": bytes(32) + b"\x05\x03",
    }.items():
        put("store_records", name, data)


def proxy_headers():
    """PROXY headers of both versions, good ones and those that are nearly good."""
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    four = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack(">HH", 4000, 25)
    six = bytes(15) + b"\1" + bytes(15) + b"\2" + struct.pack(">HH", 4000, 25)

    def v2(command, family, block, length=None):
        length = len(block) if length is None else length
        return signature + bytes([command, family]) + struct.pack(">H", length) + block

    for name, data in {
        "v1-tcp4": b"PROXY TCP4 192.0.2.1 198.51.100.2 4000 25\r\nEHLO x\r\n",
        "v1-tcp6": b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 0 65535\r\n",
        "v1-unknown": b"PROXY UNKNOWN\r\n",
        "v1-unknown-more": b"PROXY UNKNOWN ffff:f...f:ffff \n 1 2\r\n",
        "v1-longest": b"PROXY TCP6 " + b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff " * 2 + b"65535 65535\r\n",
        "v1-too-long": b"PROXY UNKNOWN " + b"x" * 120,
        "v1-zeros": b"PROXY TCP4 192.0.2.01 198.51.100.2 04000 25\r\n",
        "v1-bare-lf": b"PROXY TCP4 192.0.2.1 198.51.100.2 4000 25\n",
        "v2-tcp4": v2(0x21, 0x11, four) + b"EHLO x\r\n",
        "v2-tcp6": v2(0x21, 0x21, six),
        "v2-fields": v2(0x21, 0x11, four + b"\x02\0\x04mail\x03\0\x04abcd\x20\xff"),
        "v2-local": v2(0x20, 0x00, b""),
        "v2-local-with-addresses": v2(0x20, 0xFF, six),
        "v2-unspecified": v2(0x21, 0x00, b"xyz"),
        "v2-udp": v2(0x21, 0x12, four),
        "v2-unix": v2(0x21, 0x31, bytes(216)),
        "v2-short": v2(0x21, 0x21, four),
        "v2-long": v2(0x21, 0x11, four, 65535),
        "v2-cut": v2(0x21, 0x21, six)[:40],
        "v2-family": v2(0x21, 0x41, four),
        "v2-command": v2(0x22, 0x11, four),
        "v2-version": v2(0x11, 0x11, four),
        "signature": signature,
        "tls": bytes([22, 3, 1, 2, 0, 1]),
    }.items():
        put("proxy_header", name, data)


def main():
    for old in (FUZZ / "corpus").glob("*/seed-*"):
        if not old.name.startswith("seed-run-"):
            old.unlink()
    sessions()
    commands()
    others()
    proxy_headers()


main()
