#!/usr/bin/env python3
"""A mail corpus, the same on every machine: corpus.py COUNT DIR [SEED]

About 29 KB a message: 10,000 of them are some 290 MB. What it is made of, so that stores that compress
or keep parts once are measured fairly:
  30 % plain text, 40 % text and HTML, 30 % the same with one to three attachments
  words as often as in a language (the n-th most frequent 1/n times as often as the first)
  attachments from 200 bytes to 2 MiB, half of them below 8 KB; 60 % noise (as JPEG, PDF or ZIP are to a
  compressor), 40 % tables of words and numbers; 30 % are copies of an earlier one
  trace headers, a signature's noise, references of a thread: what makes headers long
"""
import base64
import bisect
import itertools
import math
import pathlib
import sys


class Dice:
    """SplitMix64: unlike the standard library's, its numbers can never change with a version."""

    def __init__(self, seed):
        self.state = seed

    def roll(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & (1 << 64) - 1
        mixed = self.state
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
        return mixed ^ mixed >> 31

    def below(self, limit):
        return self.roll() % limit

    def part(self):
        return self.roll() / (1 << 64)

    def noise(self, length):
        # Eight bytes a roll are too slow for 100 MB; SHAKE gives the rest.
        import hashlib

        return hashlib.shake_128(self.roll().to_bytes(8, "big")).digest(length)

    def normal(self):
        """Box and Muller."""
        return math.sqrt(-2 * math.log(1 - self.part())) * math.cos(2 * math.pi * self.part())


class Language:
    def __init__(self, dice):
        self.dice = dice
        letters = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er")]
        words = ["the", "and", "to", "of", "a", "in", "for", "is", "we", "on", "with", "please", "meeting", "report"]
        words += ["Übersicht", "café", "naïve", "встреча", "予定", "€"]
        seen = set(words)
        while len(words) < 15_000:
            word = "".join(letters[dice.below(len(letters))] for _ in range(2 + dice.below(3)))
            if word not in seen:
                seen.add(word)
                words.append(word)
        self.words_ = words
        self.sums = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(words))))

    def words(self, count):
        total = self.sums[-1]
        return [self.words_[min(bisect.bisect(self.sums, self.dice.part() * total), len(self.words_) - 1)] for _ in range(count)]

    def paragraphs(self, count):
        made = []
        while count > 0:
            take = min(count, 30 + self.dice.below(80))
            made.append(" ".join(self.words(take)).capitalize() + ".")
            count -= take
        return made


def folded(paragraph):
    lines, line = [], ""
    for word in paragraph.split():
        if line and len(line) + len(word) > 71:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return "\r\n".join(lines + [line])


def base64_lines(data):
    text = base64.b64encode(data)
    return b"\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)) + b"\r\n"


def quoted_printable(text):
    """RFC 2045 §6.7; lines of the text are short already, those that grow are broken softly."""
    lines = []
    for line in text.encode().split(b"\r\n"):
        out, length = [], 0
        for byte in line:
            piece = bytes([byte]) if 32 <= byte <= 126 and byte != 61 else b"=%02X" % byte
            if length + len(piece) > 75:
                out.append(b"=\r\n")
                length = 0
            out.append(piece)
            length += len(piece)
        lines.append(b"".join(out))
    return b"\r\n".join(lines)


def header(text):
    """An encoded word where needed (RFC 2047)."""
    if text.isascii():
        return text
    words = [f"=?UTF-8?B?{base64.b64encode(part.encode()).decode()}?=" for part in (text[at : at + 12] for at in range(0, len(text), 12))]
    return "\r\n ".join(words)


class Corpus:
    KINDS = [("application/pdf", "pdf"), ("image/jpeg", "jpg"), ("application/zip", "zip")]

    def __init__(self, seed=1, users=20):
        self.dice = Dice(seed)
        self.language = Language(self.dice)
        self.users = users
        self.attachments = []
        self.threads = []
        self.people = [(" ".join(word.capitalize() for word in self.language.words(2)), f"p{n}@{'abcde'[n % 5]}.example") for n in range(250)]

    def person(self):
        name, address = self.people[self.dice.below(len(self.people))]
        return f'"{name}" <{address}>' if name.isascii() else f"{header(name)} <{address}>"

    def attachment(self):
        dice = self.dice
        if self.attachments and dice.part() < 0.3:
            return self.attachments[dice.below(len(self.attachments))]
        size = int(min(2 << 20, max(200, 8192 * math.exp(1.9 * dice.normal()))))
        if dice.part() < 0.6:
            kind, end = self.KINDS[dice.below(len(self.KINDS))]
            data = dice.noise(size)
        else:
            kind, end, rows, length = "text/csv", "csv", [], 0
            while length < size:
                row = f"{dice.below(100_000)};{';'.join(self.language.words(6))};{dice.below(10_000)}.{dice.below(100):02}\r\n".encode()
                rows.append(row)
                length += len(row)
            data = b"".join(rows)[:size]
        name = f"{dice.below(1 << 32):08x}.{end}"
        part = f'Content-Type: {kind}; name="{name}"\r\nContent-Disposition: attachment; filename="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        made = part.encode() + base64_lines(data)
        self.attachments.append(made)
        return made

    def message(self, number):
        """The account's number (from 1) and the bytes of the message."""
        dice, language = self.dice, self.language
        user = 1 + dice.below(self.users)
        day, clock = 1 + number // 400 % 28, f"{number // 60 % 24:02}:{number % 60:02}:{dice.below(60):02}"
        date = f"{day} Sep 2025 {clock} +0000"
        identifier = f"<{dice.roll():016x}.{number}@mail.example>"
        subject, references = " ".join(language.words(2 + dice.below(7))), []
        if self.threads and dice.part() < 0.4:
            subject, references = self.threads[dice.below(len(self.threads))]
            subject = subject if subject.startswith("Re: ") else f"Re: {subject}"
        signature = "\r\n\t ".join(base64.b64encode(dice.noise(48)).decode() for _ in range(5))
        head = [
            f"Received: from out{number % 5}.example (out{number % 5}.example [198.51.100.{number % 250 + 1}])\r\n\tby mx.example.test with ESMTPS id {dice.roll():016X}\r\n\tfor <u{user}@example.test>; {date}",
            f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=mail.example; s=a;\r\n\th=from:to:subject:date:message-id; bh={base64.b64encode(dice.noise(32)).decode()};\r\n\tb={signature}",
            f"From: {self.person()}",
            f"To: u{user}@example.test" + "".join(f",\r\n\t{self.person()}" for _ in range(dice.below(4))),
            f"Subject: {header(subject)}",
            f"Date: {date}",
            f"Message-ID: {identifier}",
        ]
        if references:
            head += [f"In-Reply-To: {references[-1]}", "References: " + "\r\n ".join(references)]
        head.append("MIME-Version: 1.0")
        self.threads.append((subject, (references + [identifier])[-6:]))
        del self.threads[:-200]

        paragraphs = language.paragraphs(5 + int(60 * math.exp(0.9 * dice.normal())))
        text = "\r\n\r\n".join(folded(paragraph) for paragraph in paragraphs) + "\r\n"
        kind = dice.part()
        if kind < 0.3:
            head += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
            body = text.encode()
        else:
            boundary = f"=_a{dice.roll():016x}"
            html = "<html><body>\r\n" + "\r\n".join(f'<p class="text">{folded(paragraph)}</p>' for paragraph in paragraphs) + "\r\n</body></html>\r\n"
            start = f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
            middle = f"\r\n--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            body = start.encode() + quoted_printable(text) + middle.encode() + base64_lines(html.encode()) + f"--{boundary}--\r\n".encode()
            kind_line = f'Content-Type: multipart/alternative; boundary="{boundary}"'
            if kind < 0.7:
                head.append(kind_line)
            else:
                outer = f"=_m{dice.roll():016x}"
                head.append(f'Content-Type: multipart/mixed; boundary="{outer}"')
                parts = [f"--{outer}\r\n{kind_line}\r\n\r\n".encode() + body]
                for _ in range([1, 1, 1, 1, 1, 1, 1, 2, 2, 3][dice.below(10)]):
                    parts.append(f"--{outer}\r\n".encode() + self.attachment())
                body = b"\r\n".join(parts) + f"\r\n--{outer}--\r\n".encode()
        return user, "\r\n".join(head).encode() + b"\r\n\r\n" + body


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    count, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    corpus = Corpus(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for number in range(count):
        user, message = corpus.message(number)
        (folder / f"{number:06}-u{user}.eml").write_bytes(message)
        total += len(message)
    print(f"{count} messages, {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
