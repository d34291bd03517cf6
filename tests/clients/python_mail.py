"""python_mail.py HOST OFFSET DIR: sends every DIR/*.eml by every way in, reads it by every way out, compares bytes.

Uses only Python's own smtplib, imaplib and poplib. Prints one line a check; exit code 1 at the first difference.
"""
import email
import email.policy
import glob
import imaplib
import os
import poplib
import smtplib
import ssl
import sys

poplib._MAXLINE = 1 << 20
HOST, OFFSET, DIR = sys.argv[1], int(sys.argv[2]), sys.argv[3]
TLS = ssl._create_unverified_context()
USER, OTHER, PASSWORD = "u1@example.test", "u2@example.test", "demo"


def port(base):
    return base + OFFSET


def mails():
    for path in sorted(glob.glob(os.path.join(DIR, "*.eml"))):
        with open(path, "rb") as f:
            yield os.path.basename(path)[:-4], f.read()


def smtp_plain():
    return smtplib.SMTP(HOST, port(2525), timeout=60)


def lmtp():
    return smtplib.LMTP(HOST, port(2424), timeout=60)


def submission():
    c = smtplib.SMTP(HOST, port(2587), timeout=60)
    c.starttls(context=TLS)
    c.login(USER, PASSWORD)
    return c


def submission_login():
    c = smtplib.SMTP(HOST, port(2587), timeout=60)
    c.starttls(context=TLS)
    c.ehlo()
    c.user, c.password = USER, PASSWORD
    c.auth("LOGIN", c.auth_login)
    return c


def submission_tls():
    c = smtplib.SMTP_SSL(HOST, port(2465), timeout=60, context=TLS)
    c.login(USER, PASSWORD)
    return c


def imap_plain():
    return imaplib.IMAP4(HOST, port(2143))


def imap_starttls():
    c = imaplib.IMAP4(HOST, port(2143))
    c.starttls(ssl_context=TLS)
    return c


def imap_tls():
    return imaplib.IMAP4_SSL(HOST, port(2993), ssl_context=TLS)


def pop3_plain():
    return poplib.POP3(HOST, port(2110), timeout=60)


def pop3_stls():
    c = poplib.POP3(HOST, port(2110), timeout=60)
    c.stls(context=TLS)
    return c


def pop3_tls():
    return poplib.POP3_SSL(HOST, port(2995), timeout=60, context=TLS)


def same(way, name, sent, read, exact=False):
    """What was sent stands unchanged at the end of what is read; before it come the server's trace headers."""
    if exact:
        good = read == sent
    else:
        want = sent if sent.endswith(b"\r\n") else sent + b"\r\n"
        trace = read[: len(read) - len(want)]
        good = read.endswith(want) and trace.startswith(b"Return-Path: <") and b"\r\nReceived: from " in trace
    if not good:
        print(f"FAIL {way} {name}: sent {sent[:300]!r} read {read[:600]!r}")
        sys.exit(1)


def clear(user):
    c = imap_plain()
    c.login(user, PASSWORD)
    c.select("INBOX")
    c.store("1:*", "+FLAGS.SILENT", "\\Deleted") if c.search(None, "ALL")[1][0] else None
    c.expunge()
    c.logout()


def read_imap(connect):
    c = connect()
    c.login(OTHER, PASSWORD)
    count = int(c.select("INBOX", readonly=True)[1][0])
    out = [c.fetch(str(n), "(BODY.PEEK[])")[1][0][1] for n in range(1, count + 1)]
    sizes = [c.fetch(str(n), "(RFC822.SIZE)")[1][0] for n in range(1, count + 1)]
    for n, (body, size) in enumerate(zip(out, sizes)):
        assert size == b"%d (RFC822.SIZE %d)" % (n + 1, len(body)), (size, len(body))
    c.logout()
    return out


def read_pop3(connect):
    c = connect()
    # RFC 6856: without it, headers beyond ASCII would come as encoded words.
    assert "UTF8" in c.capa()
    c.utf8()
    c.user(OTHER)
    c.pass_(PASSWORD)
    count, total = c.stat()
    out = [b"\r\n".join(c.retr(n)[1]) + b"\r\n" for n in range(1, count + 1)]
    listed = sum(int(line.split()[1]) for line in c.list()[1])
    assert listed == total, (listed, total)
    assert len(set(line.split()[1] for line in c.uidl()[1])) == count
    c.quit()
    return out


def pop3_without_utf8():
    """A client that does not know UTF8 (RFC 6856) reads a mail whose parts have headers in raw UTF-8."""
    inner = "From: a@b.test\r\nSubject: Grüße\r\n\r\ninner ä\r\n"
    sent = (
        "From: a@b.test\r\nSubject: Grüße\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ntext ä\r\n"
        "--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
        "Content-Description: Grüße\r\n"
        'Content-Disposition: attachment; filename="Grüße aus Köln.pdf"\r\n\r\nAAAA\r\n'
        f"--b\r\nContent-Type: message/rfc822\r\n\r\n{inner}--b--\r\n"
    ).encode()
    clear(OTHER)
    c = imap_tls()
    c.login(OTHER, PASSWORD)
    imaplib.MapCRLF = imaplib.re.compile(b"\r\n")
    assert c.append("INBOX", None, None, sent)[0] == "OK"
    c.logout()
    c = pop3_tls()
    c.user(OTHER)
    c.pass_(PASSWORD)
    read = b"\r\n".join(c.retr(1)[1])
    c.quit()
    message = email.message_from_bytes(read, policy=email.policy.default)
    text, pdf, inner = message.iter_parts()
    assert message["Subject"] == "Grüße" and text.get_content().rstrip() == "text ä", read
    assert pdf.get_filename() == "Grüße aus Köln.pdf" and pdf["Content-Description"] == "Grüße", read
    assert inner.get_content()["Subject"] == "Grüße", read
    # Nothing beyond ASCII but in bodies.
    for line in read.split(b"\r\n"):
        assert line.isascii() or line in ("text ä".encode(), "inner ä".encode()), line
    clear(OTHER)
    print("ok POP3 without UTF8")


def main():
    pop3_without_utf8()
    cases = list(mails())
    assert cases, "no mails in " + DIR
    for way in (smtp_plain, lmtp, submission, submission_login, submission_tls):
        clear(OTHER)
        c = way()
        sender = USER if "submission" in way.__name__ else "someone@elsewhere.test"
        for name, sent in cases:
            options = [] if sent.isascii() else ["BODY=8BITMIME"]
            assert c.sendmail(sender, [OTHER], sent, mail_options=options) == {}, name
        c.quit()
        for reader in (read_imap, read_pop3):
            ways = (imap_plain, imap_starttls, imap_tls) if reader is read_imap else (pop3_plain, pop3_stls, pop3_tls)
            for connect in ways:
                got = reader(connect)
                assert len(got) == len(cases), (way.__name__, connect.__name__, len(got))
                for (name, sent), read in zip(cases, got):
                    same(way.__name__ + " -> " + connect.__name__, name, sent, read)
        print(f"ok {way.__name__}: {len(cases)} mails read back by 6 ways")
    clear(OTHER)
    c = imap_tls()
    c.login(OTHER, PASSWORD)
    for name, sent in cases:
        # imaplib would rewrite line ends: an exact literal instead.
        imaplib.MapCRLF = imaplib.re.compile(b"\r\n")
        assert c.append("INBOX", "(\\Seen $Mark)", None, sent)[0] == "OK", name
    c.logout()
    for (name, sent), read in zip(cases, read_imap(imap_starttls)):
        same("append", name, sent, read, exact=True)
    print(f"ok append: {len(cases)} mails, exactly")
    c = imap_plain()
    c.login(OTHER, PASSWORD)
    c.select("INBOX")
    flags = c.fetch("1", "(FLAGS)")[1][0]
    assert b"\\Seen" in flags and b"$Mark" in flags, flags
    assert c.copy("1:3", "Archive")[0] == "OK"
    assert c.status("Archive", "(MESSAGES UNSEEN)")[1][0].endswith(b"(MESSAGES 3 UNSEEN 0)")
    assert c.store("2", "+FLAGS", "\\Deleted")[0] == "OK"
    assert c.expunge()[1] == [b"2"]
    assert int(c.select("INBOX")[1][0]) == len(cases) - 1
    c.logout()
    print("ok flags, copy, expunge")


main()
