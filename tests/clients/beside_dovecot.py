"""The same mails in Dovecot and in our server, the same commands to both.

usage: beside_dovecot.py MAILS WORK     (IMAP, U and PW in the environment)

MAILS holds one mail a file; WORK is where Dovecot keeps what it wants. Writes a
line of JSON for each difference: the mail or the search, the item, what Dovecot
says, what we say. What differs by choice and not by reading is made equal
first: see `plain`.
"""
import json
import os
import re
import socket
import subprocess
import sys

ITEMS = """ENVELOPE BODYSTRUCTURE BODY RFC822.SIZE BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[1] BODY.PEEK[1.MIME]
BODY.PEEK[2] BODY.PEEK[2.MIME] BODY.PEEK[1.1] BODY.PEEK[1.HEADER] BODY.PEEK[1.TEXT] BODY.PEEK[2.HEADER] BODY.PEEK[2.1]
BODY.PEEK[1]<5.20> BINARY.PEEK[1]""".split() + [
    "BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT)]", "BODY.PEEK[HEADER.FIELDS.NOT (RECEIVED DATE)]"]
SEARCHES = """ALL|FROM example|FROM "@"|TO user|TO ""|SUBJECT re|SUBJECT "caf"|HEADER Received ""|HEADER Subject ""|
BODY body|BODY "the"|TEXT multipart|TEXT "example.com"|LARGER 1000|SMALLER 500|SENTBEFORE 1-Jan-2005|SENTSINCE 1-Jan-2010|
SENTON 2-Mar-2026|NOT TEXT "e"|OR SUBJECT test FROM bob|1:10 UNSEEN|CC example|HEADER Message-ID "@"|HEADER X-Mailer ""|
CHARSET UTF-8 SUBJECT "\u00fc"|CHARSET UTF-8 TEXT "\u00e9"|CHARSET UTF-8 BODY "\u65e5"|CHARSET UTF-8 FROM "\u00dc"|
BODY "</html>"|TEXT "charset"|HEADER Content-Type "text/plain"|SUBJECT "  "|TEXT "attachment"|BODY "attachment"
""".replace("\n", "").split("|")
SORTS = """ARRIVAL|DATE|REVERSE DATE|FROM|TO|CC|SUBJECT|SIZE|DISPLAYFROM|DISPLAYTO|REVERSE SUBJECT DATE""".split("|")


class Imap:
    """A connection, over a socket or a program's pipes."""

    def __init__(self, read, write):
        self.read, self.write, self.number = read, write, 0
        self.line()

    def line(self):
        """A response, its literals included."""
        out = b""
        while True:
            line = self.read.readline()
            assert line, "the server went: %r" % out[-200:]
            out += line
            literal = re.search(rb"\{(\d+)\}\r\n$", line)
            if not literal:
                return out
            out += self.read.read(int(literal.group(1)))

    def ask(self, command):
        """Untagged responses and the status."""
        self.number += 1
        tag = b"t%d " % self.number
        self.write.write(tag + command + b"\r\n")
        self.write.flush()
        lines = []
        while True:
            line = self.line()
            if line.startswith(tag):
                return lines, line[len(tag):].decode("latin1").strip()
            if not line.startswith(b"+"):
                lines.append(line)

    def ok(self, command):
        lines, status = self.ask(command)
        assert status.startswith("OK"), "%r: %s" % (command[:100], status)
        return lines


def parse(data, at=0, inner=False):
    """A response as lists, strings (bytes) and atoms (str)."""
    out = []
    while at < len(data):
        byte = data[at:at + 1]
        if byte in b" \r\n":
            at += 1
        elif byte == b"(":
            inside, at = parse(data, at + 1, True)
            out.append(inside)
        elif byte == b")":
            assert inner
            return out, at + 1
        elif byte == b'"':
            end, text = at + 1, b""
            while data[end:end + 1] != b'"':
                end += data[end:end + 1] == b"\\"
                text += data[end:end + 1]
                end += 1
            out.append(text)
            at = end + 1
        elif literal := re.match(rb"~?\{(\d+)\}\r\n", data[at:at + 30]):
            at += literal.end()
            out.append(data[at:at + int(literal.group(1))])
            at += int(literal.group(1))
        else:
            # A section's name has spaces and parentheses of its own.
            atom = re.compile(rb"[^ ()\r\n\"\[]*(\[[^\]]*\](<\d+>)?)?[^ ()\r\n\"]*").match(data, at)
            out.append(atom.group(0).decode("latin1"))
            at = atom.end()
    return (out, at) if inner else out


def lower(text):
    return text.lower() if isinstance(text, bytes) else text


def plain(item, value):
    """What differs by choice alone is made equal."""
    if item in ("BODY", "BODYSTRUCTURE") and isinstance(value, list) and value:
        if isinstance(value[0], list):
            count = next((n for n, of in enumerate(value) if not isinstance(of, list)), len(value))
            rest = value[count:]
            return [plain(item, part) for part in value[:count]] + [lower(rest[0])] + [params(v) for v in rest[1:]]
        value = [lower(value[0]), lower(value[1]), params(value[2])] + value[3:5] + [lower(value[5])] + value[6:]
        # RFC 2045 5.2: us-ascii is what a text is without a charset; it need not be said. Nor is there an order.
        if isinstance(value[2], list):
            pairs = sorted(zip(value[2][::2], value[2][1::2]), key=repr)
            pairs = [pair for pair in pairs if pair != (b"charset", b"us-ascii") or value[0] != b"text"]
            value[2] = pairs or "NIL"
        if value[0] == b"message" and value[1] in (b"rfc822", b"global") and isinstance((value + [0])[7], list) \
                and isinstance(value[8], list):
            value[7], value[8] = plain("ENVELOPE", value[7]), plain(item, value[8])
        return value
    if item == "ENVELOPE":
        # What is not there has no name in the standard (RFC 9051 7.5.2); white space around a date is nothing's part.
        strip = {b"MISSING_MAILBOX": b"", b"MISSING_DOMAIN": b"", b"SYNTAX_ERROR": b""}
        return [[[strip.get(part, part) for part in address] for address in field] if isinstance(field, list)
                else field.strip() if isinstance(field, bytes) and not at else field for at, field in enumerate(value)]
    if item.startswith("BODY[HEADER.FIELDS") and isinstance(value, bytes):
        # RFC 9051 6.4.5.1: these are fields. A line that is none belongs to nothing; a blank line ends them.
        lines, keep = [], False
        for line in value.split(b"\r\n"):
            if not line.startswith((b" ", b"\t")):
                keep = re.match(rb"[!-9;-~]+[ \t]*:", line) is not None
            if keep:
                lines.append(line)
        return b"\r\n".join(lines)
    # What is not there: nothing, or an empty string (RFC 9051 6.4.5.1 leaves it open).
    if item.startswith(("BODY[", "BINARY[")) and value == b"":
        return "NIL"
    return value


def params(value):
    if isinstance(value, list):
        return [params(v) if isinstance(v, list) else lower(v) if not n % 2 else v for n, v in enumerate(value)]
    return value


def shown(value):
    text = json.dumps(value, default=lambda b: b.decode("latin1"))
    return text if len(text) < 600 else text[:600] + "..."


def dovecot(work):
    settings = os.path.join(work, "dovecot.conf")
    mail = os.path.join(work, "mail")
    os.makedirs(mail, exist_ok=True)
    user, group = os.getuid(), os.getgid()
    if user == 0:
        # It does not serve root.
        import pwd
        user, group = pwd.getpwnam("nobody")[2:4]
        os.chown(mail, user, group)
        for directory in (work, mail):
            os.chmod(directory, 0o755)
    with open(settings, "w") as file:
        file.write("mail_location = sdbox:%s\nlog_path = %s/log\nssl = no\nfirst_valid_uid = 0\nmail_uid = %d\nmail_gid = %d\n"
                   "namespace inbox {\n  inbox = yes\n  separator = /\n}\n" % (mail, mail, user, group))
    child = subprocess.Popen(["/usr/lib/dovecot/imap", "-c", settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             env={"HOME": mail, "USER": "u", "PATH": "/usr/bin:/bin"})
    return Imap(child.stdout, child.stdin)


def ours():
    stream = socket.create_connection(("127.0.0.1", int(os.environ["IMAP"])))
    stream.settimeout(120)
    file = stream.makefile("rwb")
    client = Imap(file, file)
    client.ok(("LOGIN %s %s" % (os.environ["U"], os.environ["PW"])).encode())
    # RFC 9755 4, 8: without it headers beyond ASCII neither come in nor go out.
    client.ok(b"ENABLE UTF8=ACCEPT")
    return client


def main():
    mails, work = sys.argv[1:]
    names = sorted(os.listdir(mails))
    both = [dovecot(work), ours()]
    out = []

    def differ(what, item, theirs, of_us):
        out.append({"mail": what, "item": item, "dovecot": shown(theirs), "ours": shown(of_us)})

    for client in both:
        for name in names:
            with open(os.path.join(mails, name), "rb") as file:
                text = file.read()
            client.ok(b"APPEND INBOX \"02-Mar-2026 12:00:00 +0000\" {%d+}\r\n" % len(text) + text)
        client.ok(b"SELECT INBOX")
    for number, name in enumerate(names, 1):
        of_dovecot = {}
        for item in ITEMS:
            answers = []
            for client in both:
                lines, status = client.ask(b"FETCH %d (%s)" % (number, item.encode()))
                answer = status.split(" ")[0] + (" [UNKNOWN-CTE]" if "UNKNOWN-CTE" in status else "")
                for line in lines:
                    args = parse(line[2:])
                    if args[1] == "FETCH":
                        for key, value in zip(args[2][::2], args[2][1::2]):
                            if key != "FLAGS" and key != "UID":
                                answer = plain(key, value)
                answers.append(answer)
            of_dovecot[item] = answers[0]
            # RFC 9051 6.4.5.1: a part that is neither a multipart nor a message has no part 1.
            inner = re.fullmatch(r"(BODY.PEEK\[[12])\.1\]", item)
            if inner and answers[1] == "NIL" and answers[0] == of_dovecot.get(inner.group(1) + "]"):
                continue
            if answers[0] != answers[1]:
                differ(name, item, *answers)
    for command in ["SEARCH " + key for key in SEARCHES] + ["SORT (%s) UTF-8 ALL" % key for key in SORTS] + \
            ["THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL"]:
        answers, named = [], command
        for client in both:
            if client is both[1]:
                # RFC 9755 3: strings are UTF-8, and SEARCH names no charset.
                command = command.replace("CHARSET UTF-8 ", "")
            lines, status = client.ask(command.encode())
            found = [parse(line[2:])[1:] for line in lines if line[2:].startswith(command.split(" ")[0].encode())]
            answers.append(found[0] if found else status.split(" ")[0])
        theirs, of_us, command = *answers, named
        if command.startswith("SEARCH") and isinstance(theirs, list) and isinstance(of_us, list):
            # By mail, so that the table says which.
            for number in sorted(set(theirs) ^ set(of_us), key=int):
                differ(names[int(number) - 1], command, number in theirs, number in of_us)
        elif theirs != of_us:
            differ("beside-all" if names[0].startswith("beside-") else "all", command, theirs, of_us)
    for difference in out:
        print(json.dumps(difference))
    print(json.dumps({"mails": len(names), "commands": len(names) * len(ITEMS) + len(SEARCHES) + len(SORTS) + 2}))


main()
