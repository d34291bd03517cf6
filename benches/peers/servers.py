"""The servers that are measured: each started in a directory of its own, on loopback, and stopped."""
import json
import os
import pathlib
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

SMTP, LMTP, IMAP, IMAPS = 13525, 13424, 13143, 13993
# What `axigen demo` adds to its ports to come to these.
OFFSET = 11000
USERS = 20
METER = None


def install():
    need = {"postfix": "postfix", "dovecot": "dovecot-imapd dovecot-lmtpd", "strace": "strace"}
    missing = " ".join(packages for program, packages in need.items() if not shutil.which(program)).split()
    if shutil.which("dovecot") and not pathlib.Path("/usr/lib/dovecot/lmtp").exists():
        missing.append("dovecot-lmtpd")
    if missing:
        print("apt-get install", *missing, file=sys.stderr)
        # Debian starts servers as it installs them. This keeps it from that (policy-rc.d(8)).
        policy = pathlib.Path("/usr/sbin/policy-rc.d")
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL, "check": True}
            subprocess.run(["apt-get", "update", "-qq"], **quiet)
            subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], **quiet)
        finally:
            if ours:
                policy.unlink()
    version = output("dovecot", "--version")
    if not version.startswith("2.3"):
        sys.exit(f"Dovecot {version}: benches/peers/dovecot.conf is for 2.3, and 2.4 reads another language")


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def wait_for(what, ready, seconds=60):
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not after {seconds} s")
        time.sleep(0.02)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processes(roots):
    """These processes and all below them."""
    children = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, left = [], list(roots)
    while left:
        pid = left.pop()
        found.append(pid)
        left += children.get(pid, [])
    return found


class Meter:
    """CPU time of a server: of a control group that it is started in or, where none can be made, of its
    processes. The latter is 10 ms too low, on average, for each process that begins in between."""

    def __init__(self):
        self.group = None
        root = pathlib.Path("/sys/fs/cgroup")
        for parent, self.file, self.unit in ((root, "cpu.stat", 1e6), (root / "cpuacct", "cpuacct.usage", 1e9)):
            group = parent / f"axigen-peers-{os.getpid()}"
            try:
                group.mkdir()
            except OSError:
                continue
            if (group / self.file).exists():
                self.group = group
                return
            group.rmdir()
        print("no control group: CPU times come from /proc", file=sys.stderr)

    def enter(self):
        """Called in a process that is to be metered, before it runs anything."""
        if self.group:
            (self.group / "cgroup.procs").write_text(str(os.getpid()))

    def seconds(self, roots):
        if self.group:
            text = (self.group / self.file).read_text().split()
            return int(text[1] if text[0] == "usage_usec" else text[0]) / self.unit
        ticks = 0
        for pid in processes(roots):
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            # utime, stime, cutime, cstime: fields 14 to 17 of proc(5); two went before the ')'.
            ticks += sum(int(field) for field in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def close(self):
        if self.group:
            wait_for("an empty control group", lambda: not (self.group / "cgroup.procs").read_text())
            self.group.rmdir()


class Axigen:
    process = None

    def __init__(self, work, programs, port):
        self.work, self.programs, self.port = work, programs, port
        self.data = work / "mail"
        self.lmtp = port == LMTP

    def start(self):
        log = open(self.work / "log", "w")
        command = [self.programs / "axigen", "demo", "--dir", self.data, "--port-offset", str(OFFSET), "--accounts", str(USERS)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=METER.enter)
        wait_for("axigen", lambda: "\nready" in "\n" + (self.work / "log").read_text())

    def roots(self):
        return [self.process.pid]

    def settled(self):
        return True

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        if self.process.wait(60) != 0:
            raise RuntimeError((self.work / "log").read_text())


class Dovecot:
    def __init__(self, work, format, more, postfix):
        self.work, self.format, self.more, self.postfix = work, format, more, postfix
        self.port = SMTP if postfix else LMTP
        self.lmtp = not postfix
        self.data = work / "mail"

    def values(self):
        return {"work": self.work, "format": self.format, "more": self.more, "smtp": SMTP, "lmtp": LMTP, "imap": IMAP}

    def fill(self, name, target):
        text = string.Template((HERE / name).read_text())
        target.write_text(text.substitute(self.values()))

    def start(self):
        self.work.chmod(0o755)
        self.data.mkdir(exist_ok=True)
        shutil.chown(self.data, "mail", "mail")
        self.fill("dovecot.conf", self.work / "dovecot.conf")
        subprocess.run(["dovecot", "-c", self.work / "dovecot.conf"], check=True, preexec_fn=METER.enter)
        wait_for("dovecot", lambda: listens(IMAP) and listens(LMTP))
        if self.postfix:
            etc = self.work / "postfix"
            for folder in (etc, self.work / "queue", self.work / "data"):
                folder.mkdir(exist_ok=True)
            shutil.chown(self.work / "data", "postfix")
            for name in ("main.cf", "master.cf"):
                self.fill(name, etc / name)
            subprocess.run(["postfix", "-c", etc, "start"], check=True, stderr=subprocess.DEVNULL, preexec_fn=METER.enter)
            wait_for("postfix", lambda: listens(SMTP))

    def masters(self):
        files = [self.work / "dovecot" / "master.pid"]
        if self.postfix:
            files.append(self.work / "queue" / "pid" / "master.pid")
        return files

    def roots(self):
        return [int(file.read_text()) for file in self.masters()]

    def settled(self):
        """Whether all is in the mailboxes: Postfix answers 250 when its queue has a mail."""
        folders = ("maildrop", "incoming", "active", "deferred") if self.postfix else ()
        return not any(files for folder in folders for _, _, files in os.walk(self.work / "queue" / folder))

    def stop(self):
        masters = [master for master in self.masters() if master.exists()]
        pids = [int(master.read_text()) for master in masters]
        # What could not start need not stop.
        if (self.work / "queue" / "pid" / "master.pid") in masters:
            subprocess.run(["postfix", "-c", self.work / "postfix", "stop"], check=True, stderr=subprocess.DEVNULL)
        if (self.work / "dovecot" / "master.pid") in masters:
            subprocess.run(["doveadm", "-c", self.work / "dovecot.conf", "stop"], check=True)
        try:
            wait_for("a stop", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 30)
        except TimeoutError:
            for pid in processes(pids):
                os.kill(pid, signal.SIGKILL)
            raise


def disk(folder):
    return int(output("du", "-s", "--block-size=1", str(folder)).split()[0])


ZSTD = "mail_plugins = $mail_plugins zlib\nplugin {\n  zlib_save = zstd\n  zlib_save_level = 3\n}"


def prepare(debug, build=True):
    """What a measurement needs: root, free ports, the programs. Gives the folder of ours."""
    global METER
    if os.geteuid() != 0:
        sys.exit("Postfix and Dovecot start as root only")
    busy = [port for port in (SMTP, LMTP, IMAP) if listens(port)]
    if busy:
        sys.exit(f"port {busy[0]} is in use")
    # So that a kill, too, stops what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    install()
    command = ["cargo", "build", "--quiet", "-p", "axigen-bin", "-p", "axigen-benches"] + ["--release"] * (not debug)
    if build:
        subprocess.run(command, cwd=ROOT, check=True)
    target = json.loads(output("cargo", "metadata", "--no-deps", "--format-version", "1", "--manifest-path", str(ROOT / "Cargo.toml")))
    programs = pathlib.Path(target["target_directory"]) / ("debug" if debug else "release")
    METER = Meter()
    return programs


def meter():
    return METER


def directory():
    """A new one on the disk that AXIGEN_BENCH_DIR names."""
    return pathlib.Path(tempfile.mkdtemp(prefix="axigen-peers-", dir=os.environ.get("AXIGEN_BENCH_DIR")))
