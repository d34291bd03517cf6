#!/usr/bin/env python3
"""Reads the blobs of a store's packs, as docs/store-format.md describes them.

usage: read_pack.py STORE MAIL.ZDICT OUT

Writes each blob's content to OUT under its hash, and prints a line for each:
the hash, its length, and what its label says. An error is a sentence and exit
code 1. Nothing of the program's own code is used, on purpose; `zstd` inflates.
"""
import base64
import pathlib
import struct
import subprocess
import sys
import tempfile

MASK = 0xFFFFFFFF
FRAME = 262_144


def table():
    rows = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        rows.append(n)
    return rows


TABLE = table()


def crc32c(*parts):
    crc = MASK
    for part in parts:
        for byte in part:
            crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ MASK


# BLAKE3, plain hashing, 32 bytes.
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
QUARTERS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
START, END, PARENT, ROOT = 1, 2, 4, 8


def compress(value, words, counter, length, flags):
    v = list(value) + list(IV[:4]) + [counter & MASK, counter >> 32, length, flags]
    for turn in range(7):
        for at, (a, b, c, d) in enumerate(QUARTERS):
            for word, first, second in ((words[2 * at], 16, 12), (words[2 * at + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) & MASK
                x = v[d] ^ v[a]
                v[d] = (x >> first | x << (32 - first)) & MASK
                v[c] = (v[c] + v[d]) & MASK
                x = v[b] ^ v[c]
                v[b] = (x >> second | x << (32 - second)) & MASK
        if turn < 6:
            words = [words[at] for at in ORDER]
    return [v[at] ^ v[at + 8] for at in range(8)]


def chunk(data, counter, root):
    value = IV
    blocks = [data[at:at + 64] for at in range(0, len(data), 64)] or [b""]
    for at, block in enumerate(blocks):
        flags = START * (at == 0) | END * (at + 1 == len(blocks))
        if at + 1 == len(blocks) and root:
            flags |= ROOT
        words = struct.unpack("<16I", block.ljust(64, b"\0"))
        value = compress(value, words, counter, len(block), flags)
    return value


def blake3(data):
    def tree(first, count, root):
        if count == 1:
            return chunk(data[first * 1024:(first + 1) * 1024], first, root)
        left = 1 << (count - 1).bit_length() - 1
        words = tree(first, left, False) + tree(first + left, count - left, False)
        return compress(IV, words, 0, 64, PARENT | ROOT * root)
    return struct.pack("<8I", *tree(0, max(1, -(-len(data) // 1024)), True))


def need(true, sentence):
    if not true:
        sys.exit(f"read_pack: {sentence}")


def dictionaries(packs, mail):
    known = {1: mail}
    numbers = {int(path.stem, 16) for path in (packs / "dict").glob("*") if path.suffix in (".zdict", ".copy")}
    for number in numbers:
        for kind in ("zdict", "copy"):
            path = packs / "dict" / f"{number:04x}.{kind}"
            data = path.read_bytes() if path.exists() else b""
            if len(data) < 56 or crc32c(data[:52]) != int.from_bytes(data[52:56], "big"):
                continue
            magic, version, own, length, digest = struct.unpack(">8sIII32s", data[:52])
            if (magic, version, own, length) == (b"AXIGENZD", 1, number, len(data) - 56) and blake3(data[56:]) == digest:
                known[number] = pathlib.Path(tempfile.mkdtemp()) / f"{number}"
                known[number].write_bytes(data[56:])
        need(number in known, f"dictionary {number} is damaged, and its copy too")
    return known


def inflate(frame, dictionary):
    command = ["zstd", "-d", "-c", "-q"] + (["-D", str(dictionary)] if dictionary else [])
    return subprocess.run(command, input=frame, stdout=subprocess.PIPE, check=True).stdout


def unseal(sealed, address, known):
    version, kind, dictionary, length = struct.unpack(">BBHQ", sealed[:12])
    need(version == 1 and kind in (0, 1), f"sealed bytes of version {version}, kind {kind}")
    count = -(-length // FRAME)
    end = 12 + 8 * count
    (crc,) = struct.unpack(">I", sealed[end:end + 4])
    need(crc32c(address, sealed[:end]) == crc, "the checksum of a frame table is wrong")
    at, held = end + 4, b""
    for number in range(count):
        size, crc = struct.unpack(">II", sealed[12 + 8 * number:20 + 8 * number])
        plain, size = size >> 31, size & 0x7FFFFFFF
        frame = sealed[at:at + size]
        need(crc32c(frame) == crc, "the checksum of a frame is wrong")
        held += frame if plain else inflate(frame, known[dictionary] if dictionary else None)
        at += size
    need(at == len(sealed) and len(held) == length, "the frames have another length")
    return kind, held


def lines(data, line, flags):
    text = base64.b64encode(data)
    end = b"\r\n" if flags & 1 else b"\n"
    cut = [text[at:at + line] for at in range(0, len(text), line)] if line else [text]
    return end.join(cut) + (end if flags & 2 else b"")


def put_together(held, content):
    (count,) = struct.unpack(">H", held[:2])
    at, segments = 2, []
    for _ in range(count):
        kind, length = struct.unpack(">BQ", held[at:at + 9])
        at += 9
        sizes = {0: "", 1: ">32sQ", 2: ">32sQIB", 3: ">QIB"}
        need(kind in sizes, f"a piece of kind {kind}")
        fields = struct.unpack_from(sizes[kind], held, at) if sizes[kind] else ()
        at += struct.calcsize(sizes[kind]) if sizes[kind] else 0
        segments.append((kind, length, fields))
    out = b""
    for kind, length, fields in segments:
        if kind == 0:
            made, at = held[at:at + length], at + length
        elif kind == 3:
            kept, line, flags = fields
            made, at = lines(held[at:at + kept], line, flags), at + kept
        else:
            other = content(fields[0])
            need(len(other) == fields[1], "a piece has another length")
            made = other if kind == 1 else lines(other, *fields[2:])
        need(len(made) == length, "a segment has another length")
        out += made
    return out


def records(path):
    data = path.read_bytes()
    magic, version, crc, number, origin = struct.unpack(">8sIIQB7x", data[:32])
    need(magic == b"AXIGENPK" and version == 2, f"{path} is no pack of version 2")
    need(crc == crc32c(data[8:12], bytes(4), data[16:32]), f"the header of {path} is damaged")
    need(number == int(path.stem, 16) and origin in (0, 1), f"{path} says that it is pack {number}")
    at = 32
    while at + 64 <= len(data):
        magic, crc, body, kind, label, payload, raw, digest = struct.unpack(">4sIIBxHQQ32s", data[at:at + 64])
        if magic != b"AXR2" or crc != crc32c(struct.pack(">QQ", number, at), data[at + 8:at + 64]):
            at += 8
            continue
        begin = at + 64 + label
        need(crc32c(data[at + 64:begin + payload]) == body, f"the record at {at} of {path} is damaged")
        yield number, begin, kind, data[at + 64:begin], data[begin:begin + payload], raw, digest
        at = begin + payload + -(begin + payload) % 8


def label_text(label):
    if len(label) < 20 or label[:2] != b"\2\0":
        return f"a label of {len(label)} bytes" if label else "no label"
    places, at = [], 20
    while at < len(label):
        account, flags, length = struct.unpack(">QBH", label[at:at + 11])
        places.append(f"{account}/{label[at + 11:at + 11 + length].decode()}")
        at += 11 + length
    return " ".join(places)


def main():
    store, mail, out = map(pathlib.Path, sys.argv[1:])
    form = (store / "FORMAT").read_text()
    need(form.startswith("axigen store, layout 3\n"), f"FORMAT says {form!r}")
    known = dictionaries(store / "packs", mail)
    blobs, gone, notes = {}, set(), 0
    for path in sorted((store / "packs").glob("*/*.pack")):
        for number, begin, kind, label, payload, raw, digest in records(path):
            if kind == 1:
                blobs.setdefault(digest, {})[number, begin] = (label, payload, raw)
            elif kind == 2:
                gone.add(struct.unpack(">QQ", payload))
            else:
                need(kind == 3, f"a record of kind {kind}")
                notes += 1
    made = {}

    def content(digest):
        if digest not in made:
            places = [blob for place, blob in sorted(blobs.get(digest, {}).items()) if place not in gone]
            need(places, f"blob {digest.hex()} is missing")
            label, payload, raw = places[-1]
            kind, held = unseal(payload, digest, known)
            made[digest] = put_together(held, content) if kind else held
            need(len(made[digest]) == raw, f"blob {digest.hex()} has another length")
            need(blake3(made[digest]) == digest, f"blob {digest.hex()} has another hash")
        return made[digest]

    for digest, places in sorted(blobs.items()):
        kept = [blob for place, blob in sorted(places.items()) if place not in gone]
        if kept:
            (out / digest.hex()).write_bytes(content(digest))
            print(digest.hex(), len(made[digest]), label_text(kept[-1][0]))
    print(f"{len(made)} blobs, {notes} notes")


if __name__ == "__main__":
    main()
