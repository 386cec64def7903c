"""Does a server acknowledge a message only when it is on the disk? Its system calls tell.

    order_of_ack_and_sync.py SERVER [--sync default|always|2m] [--expect kept|broken]

It starts SERVER under strace with an empty store, publishes into streams of it, in bursts and one
by one, and reads the trace. The promise is kept if for every PubAck, and for every message that a
consumer delivers,

1. a write that carries the message into a file of the store had returned,
2. then a `fdatasync` or `fsync` of that file was made, and returned 0,
3. and only then the call was made that took the PubAck or the delivery to the socket,
4. and before 3 the name of that file was synced too: a `fsync` of its folder, made after the call
   that gave it that name, had returned 0; the same for the folders above, up to the store.

strace stops a thread at the begin and at the end of a call and writes the line meanwhile, so the
order of lines is an order in time. What the trace cannot show (a write through a map or an
io_uring) counts as not written: such a server fails.

Exits with 0 if it is as expected. `--expect broken` is for negative controls: a server that is
known not to keep the promise must be caught.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import strace

START_SECONDS_MAX = 20
ANSWER_SECONDS_MAX = 60
STREAMS = 3
BURSTS = 8
BURST_MESSAGES = 40
SINGLE_MESSAGES = 40

WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2"}
SENDS = {"write", "writev", "sendto", "sendmsg"}
SYNCS = {"fsync", "fdatasync"}
NAMERS = {
    "openat", "creat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat",
}


# --- the check ---


@dataclasses.dataclass
class Sent:
    """A message that was published, and what the publisher and the consumer got for it."""

    token: bytes
    stream: str
    sequence: int


@dataclasses.dataclass
class Verdict:
    """What the trace says. `broken` are sentences, one for each PubAck or delivery that left too
    early; `acks`, `deliveries` and `syncs` are what was looked at."""

    acks: int
    deliveries: int
    syncs: int
    broken: list


def check(calls, store, messages, names=True):
    """Looks for the promise in a trace. `store` is the folder of the store, as an absolute path;
    `messages` must have been acknowledged and delivered. Raises ValueError when the trace does
    not hold what was seen on the wire."""
    store = store.rstrip("/")
    written = writes_of(calls, store, [message.token for message in messages])
    syncs = syncs_of(calls, store)
    named = names_of(calls, store) if names else None
    acks, deliveries = departures(calls, messages)
    broken = []
    for what, left in (("PubAck", acks), ("delivery", deliveries)):
        for message in messages:
            at = left.get(message.token)
            label = f"{what} of {message.stream}:{message.sequence}"
            if at is None:
                raise ValueError(f"the {label} is not in the trace")
            reason = why_not_durable(at, written[message.token], syncs, named, store)
            if reason:
                broken.append(f"{label} left in line {at + 1}: {reason}")
    used = sum(len(times) for times in syncs.values())
    return Verdict(len(acks), len(deliveries), used, broken)


def why_not_durable(at, writes, syncs, named, store):
    """Why what `writes` carry was not on the disk before line `at`; None if it was."""
    if not any(end < at for _, end in writes):
        return "the message was not written before"
    reasons = []
    for path, end in writes:
        if end < at and not synced_between(syncs, path, end, at):
            name = os.path.relpath(path, store)
            reasons.append(f"{name} was written in line {end + 1}, and not synced since")
        elif end < at:
            unsynced = unsynced_name(path, syncs, named, at, store) if named is not None else None
            if unsynced is None:
                return None
            reasons.append(unsynced)
    return "; ".join(reasons)


def unsynced_name(path, syncs, named, at, store):
    """Which name on the way from the store to `path` could be lost; None if none could."""
    while path != store:
        begin = named.get(path)
        if begin is None:
            raise ValueError(f"{path} has a name that the trace does not give it")
        folder = os.path.dirname(path)
        if begin >= at or not synced_between(syncs, folder, begin, at):
            name = os.path.relpath(path, store)
            return f"{name} got its name in line {begin + 1}, and its folder was not synced since"
        path = folder
    return None


def synced_between(syncs, path, after, before):
    return any(begin > after and end < before for begin, end in syncs.get(path, ()))


def writes_of(calls, store, tokens):
    """For each token the files that it was written into, each with the line in which the write
    had returned."""
    found = {token: [] for token in tokens}
    pattern = re.compile(b"|".join(re.escape(token) for token in tokens))
    for call in calls:
        if call.name not in WRITES or call.end is None:
            continue
        path = call.descriptor()
        if not path.startswith(store + "/"):
            continue
        for token in set(pattern.findall(call.data())):
            found[token].append((path, call.end))
    return found


def syncs_of(calls, store):
    """For each file and folder of the store the begins and ends of its syncs that worked."""
    found = {}
    for call in calls:
        if call.name in SYNCS and call.end is not None and call.result == 0:
            path = call.descriptor()
            if path == store or path.startswith(store + "/"):
                found.setdefault(path, []).append((call.begin, call.end))
    return found


def names_of(calls, store):
    """For each path of the store the line in which the call had returned that gave it its name
    last."""
    found = {}
    for call in calls:
        if call.name not in NAMERS or call.end is None or call.result is None or call.result < 0:
            continue
        if call.name in ("openat", "creat"):
            # Opened again it keeps its name, and with O_CREAT it may have had it before.
            path = strace.unquoted(re.match(r"<(.*)>", call.returned)[1]).decode()
            is_new = path not in found and ("O_CREAT" in call.arguments or call.name == "creat")
        else:
            path, is_new = absolute(call), True
        if is_new and path.startswith(store + "/"):
            found[path] = call.end
    return found


def absolute(call):
    """The path that a call gives to something: its last."""
    path = call.strings()[-1].decode()
    folders = strace.DESCRIPTOR.findall(call.arguments)
    if not path.startswith("/"):
        if not folders:
            raise ValueError(f"{call.name} in line {call.begin + 1} names a path in no folder")
        path = os.path.join(strace.unquoted(folders[-1]).decode(), path)
    return os.path.normpath(path)


PUB_ACK = re.compile(rb'\{"stream":"(\w+)", ?"seq":(\d+)\}')


def departures(calls, messages):
    """For each token the line in which the call was made that took its PubAck to a socket, and
    the same for its delivery; the first one of each."""
    by_sequence = {(message.stream, message.sequence): message.token for message in messages}
    tokens = re.compile(b"|".join(re.escape(message.token) for message in messages))
    acks, deliveries = {}, {}
    for stream in sockets_of(calls):
        for match in PUB_ACK.finditer(stream.data):
            token = by_sequence.get((match[1].decode(), int(match[2])))
            if token is not None:
                acks.setdefault(token, stream.line_at(match.end() - 1))
        for match in tokens.finditer(stream.data):
            deliveries.setdefault(match[0], stream.line_at(match.end() - 1))
    return acks, deliveries


class Outgoing:
    """What left through one socket, and in which call."""

    def __init__(self):
        self.data = bytearray()
        self.ends = []

    def add(self, call):
        self.data += call.data()
        self.ends.append((len(self.data), call.begin))

    def line_at(self, offset):
        """The line in which the call was made that took the byte at `offset`."""
        return next(begin for end, begin in self.ends if offset < end)


def sockets_of(calls):
    sockets = {}
    for call in calls:
        if call.name in ("sendmmsg", "sendfile", "splice"):
            raise ValueError(f"{call.name} in line {call.begin + 1}: what it sends is not traced")
        if call.name in SENDS and call.end is not None:
            peer = call.descriptor()
            if peer.startswith("TCP"):
                sockets.setdefault(peer, Outgoing()).add(call)
    return sockets.values()


# --- the workload ---


class Client:
    """As much of a client as is needed: publishes, requests, collects what comes."""

    def __init__(self, port, subscriptions):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS_MAX)
        self.file = self.socket.makefile("rb")
        self.requests = 0
        self.arrived = []
        if not self.file.readline().startswith(b"INFO "):
            raise ValueError("the server does not begin with INFO")
        self.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        for number, subject in enumerate(subscriptions):
            self.send(f"SUB {subject} {number}\r\n".encode())
        self.confirm()

    def send(self, data):
        self.socket.sendall(data)

    def confirm(self):
        self.send(b"PING\r\n")
        while self.line() != b"PONG":
            pass

    def line(self):
        """The next line that is not a message; messages are kept."""
        while True:
            line = self.file.readline()
            if not line:
                raise ValueError("the server closed the connection")
            line = line.rstrip(b"\r\n")
            words = line.split(b" ")
            if words[0] in (b"MSG", b"HMSG"):
                body = self.file.read(int(words[-1]) + 2)[:-2]
                headers = int(words[-2]) if words[0] == b"HMSG" else 0
                self.arrived.append((words[1].decode(), body[:headers], body[headers:]))
                return b""
            if words[0] == b"PING":
                self.send(b"PONG\r\n")
            elif words[0] == b"-ERR":
                raise ValueError(f"the server said {line!r}")
            else:
                return line

    def take(self, condition, count):
        """Waits for `count` messages whose subject meets `condition`, and takes them."""
        while True:
            taken = [message for message in self.arrived if condition(message[0])]
            if len(taken) >= count:
                self.arrived = [m for m in self.arrived if not condition(m[0])]
                return taken
            self.line()

    def ask(self, subject, body):
        self.requests += 1
        inbox = f"_INBOX.ask{self.requests}"
        self.send(publish(subject, inbox, json.dumps(body).encode()))
        answer = json.loads(self.take(lambda to: to == inbox, 1)[0][2] or b"null")
        if not answer or "error" in answer:
            raise ValueError(f"{subject} was answered with {answer}")
        return answer


def publish(subject, reply, payload):
    return f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n"


def work(port):
    """Publishes, checks what comes back, and returns what was sent."""
    client = Client(port, ["_INBOX.*"])
    watcher = Client(port, [f"deliver.{number}" for number in range(STREAMS)])
    for number in range(STREAMS):
        stream = f"S{number}"
        config = {"name": stream, "subjects": [f"s{number}.>"], "storage": "file"}
        client.ask(f"$JS.API.STREAM.CREATE.{stream}", config)
        push = {
            "name": f"c{number}", "durable_name": f"c{number}",
            "deliver_subject": f"deliver.{number}", "ack_policy": "none", "deliver_policy": "all",
        }
        client.ask(
            f"$JS.API.CONSUMER.CREATE.{stream}.c{number}", {"stream_name": stream, "config": push}
        )
    sent, asked = [], 0

    def burst(streams, count):
        nonlocal asked
        batch, waiting = b"", {}
        for index in range(count):
            number = streams[index % len(streams)]
            asked += 1
            token = b"token-" + secrets.token_hex(16).encode()
            # Some are long: a write need not carry all of a batch.
            payload = token + b"." * (7000 if asked % 10 == 0 else 90)
            waiting[f"_INBOX.ack{asked}"] = (token, number)
            batch += publish(f"s{number}.x", f"_INBOX.ack{asked}", payload)
        client.send(batch)
        for inbox, _, body in client.take(lambda to: to in waiting, count):
            ack = json.loads(body)
            token, number = waiting.pop(inbox)
            if "error" in ack or ack["stream"] != f"S{number}":
                raise ValueError(f"published into S{number}: {ack}")
            sent.append(Sent(token, ack["stream"], ack["seq"]))

    for _ in range(BURSTS):
        burst([0], BURST_MESSAGES)
    for _ in range(SINGLE_MESSAGES):
        burst([1], 1)
    for _ in range(BURSTS):
        burst(list(range(STREAMS)), BURST_MESSAGES)
    delivered = watcher.take(lambda to: True, len(sent))
    tokens = sorted(body[: len(message.token)] for message, (_, _, body) in zip(sent, delivered))
    if tokens != sorted(message.token for message in sent):
        raise ValueError("the consumers got something else than was published")
    return sent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def traced(server, sync, folder, workload):
    """Runs `workload` against a traced server; returns its result, the trace and the store."""
    # The paths in the trace have no links in them.
    folder = pathlib.Path(folder).resolve()
    store, config, trace, log = (folder / name for name in ("store", "server.conf", "trace", "log"))
    store.mkdir()
    interval = "" if sync == "default" else f'sync_interval: "{sync}"'
    config.write_text(f'jetstream {{ store_dir: "{store}"\n{interval} }}\n')
    port = free_port()
    arguments = ["-a", "127.0.0.1", "-p", str(port), "-c", str(config)]
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*strace.command(trace), server, *arguments], stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not accepts(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ValueError(f"{server} does not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.01)
        result = workload(port)
    finally:
        stop(process)
    return result, trace, str(store)


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def stop(process):
    """Ends the server below strace, then strace ends too, with a whole trace."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
    except OSError:
        pass
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("server", help="the server program")
    parser.add_argument("--sync", default="default", help="sync_interval: default, always, 2m")
    parser.add_argument("--expect", default="kept", choices=["kept", "broken"])
    parser.add_argument("--no-names", action="store_true", help="leave out rule 4")
    parser.add_argument("--base", help="a folder on a disk [default: that of temporary files]")
    parser.add_argument("--keep", help="copy the trace to this file")
    options = parser.parse_args()
    if not shutil.which("strace"):
        sys.exit("strace is needed: install it (apt-get install strace)")
    with tempfile.TemporaryDirectory(prefix="fulmar-order-", dir=options.base) as folder:
        server = shutil.which(options.server) or options.server
        messages, trace, store = traced(server, options.sync, folder, work)
        if options.keep:
            shutil.copy(trace, options.keep)
        with open(trace, encoding="latin-1", newline="\n") as lines:
            calls = strace.read(lines)
        verdict = check(calls, store, messages, names=not options.no_names)
    print(
        f"{pathlib.Path(server).name}, sync_interval {options.sync}: {verdict.acks} acks and "
        f"{verdict.deliveries} deliveries, {verdict.syncs} syncs, {len(calls)} calls; "
        f"{len(verdict.broken)} left too early"
    )
    for sentence in verdict.broken[:5]:
        print("  " + sentence)
    kept = not verdict.broken
    if kept != (options.expect == "kept"):
        sys.exit(f"expected the promise to be {options.expect}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"order_of_ack_and_sync: {error}")
