#!/usr/bin/env python3
"""Fails on a dependency whose licence is not permissive, and on crates that must stay out of the tree."""
import re
import subprocess
import sys

ALLOWED = {
    "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unicode-3.0", "CC0-1.0",
    "0BSD", "BSL-1.0", "MIT-0", "Unlicense", "OpenSSL", "CDLA-Permissive-2.0", "Apache-2.0 WITH LLVM-exception",
}
# One crypto provider (aws-lc-rs), no OpenSSL, no RSA with a timing leak.
FORBIDDEN = {"ring", "openssl-sys", "rsa"}


def satisfied(expression):
    """Whether a licence expression can be met by allowed licences alone."""
    expression = expression.replace("/", " OR ")
    words = re.findall(r"\(|\)|[A-Za-z0-9.+-]+(?: WITH [A-Za-z0-9.-]+)?", expression)
    at = 0

    def either():
        nonlocal at
        good = both()
        while at < len(words) and words[at] == "OR":
            at += 1
            good = both() or good
        return good

    def both():
        nonlocal at
        good = one()
        while at < len(words) and words[at] == "AND":
            at += 1
            good = one() and good
        return good

    def one():
        nonlocal at
        if words[at] == "(":
            at += 1
            good = either()
            at += 1
            return good
        at += 1
        return words[at - 1] in ALLOWED

    return either()


def main():
    # `cargo tree` and not `cargo metadata`: the latter lists optional packages that nothing turns on.
    raw = subprocess.run(
        ["cargo", "tree", "--locked", "--workspace", "--edges", "all", "--target", "all", "--prefix", "none", "--format", "{p}|{l}"],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    packages = sorted({tuple(line.removesuffix(" (*)").split("|")) for line in raw.splitlines() if "|" in line})
    bad = []
    for package, licence in packages:
        if package.split()[0] in FORBIDDEN:
            bad.append(f"{package} must stay out of the tree")
        if not licence or not satisfied(licence):
            bad.append(f"{package}: licence {licence or 'not stated'}")
    for line in bad:
        print("licences:", line)
    print(f"licences: {len(packages)} packages, {len(bad)} refused")
    return 1 if bad or len(packages) < 50 else 0


sys.exit(main())
