"""What `strace -f -yy` wrote, as system calls with the moments of their begin and end.

It knows the notation of strace and nothing of what the calls are for. A line that it cannot read
is an error: a call that is overlooked could be the one that matters.
"""

import dataclasses
import re

# How the calls that matter must be traced; see `read`.
TRACED = (
    "openat", "creat", "close", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link",
    "linkat", "write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg",
    "sendmmsg", "sendfile", "splice", "copy_file_range", "fsync", "fdatasync", "sync", "syncfs",
    "sync_file_range", "msync", "io_uring_setup", "io_submit",
)

# Longer buffers would be cut off, and `read` refuses a buffer that is.
STRING_BYTES_MAX = 4 << 20


def command(output):
    """The strace command line; what is to be traced goes behind it."""
    return [
        "strace", "-f", "-yy", "-qq", "-s", str(STRING_BYTES_MAX), "-e", "signal=none",
        "-e", "trace=" + ",".join("?" + name for name in TRACED), "-o", str(output),
    ]


@dataclasses.dataclass
class Call:
    """One system call. `begin` and `end` are numbers of lines: a call whose `end` is below
    another's `begin` had returned before the other was made. `end` is None if it never came
    back. `result` is what it returned, None for an unfinished one."""

    name: str
    thread: int
    arguments: str
    begin: int
    end: int | None = None
    result: int | None = None
    returned: str = ""

    def descriptor(self, index=0):
        """The file behind the `index`-th descriptor among the arguments, as strace names it."""
        found = DESCRIPTOR.findall(self.arguments)
        if index >= len(found):
            where = f"{self.name} in line {self.begin + 1}"
            raise ValueError(f"{where} names no file: {self.arguments[:200]!r}")
        return unquoted(found[index]).decode(errors="replace")

    def strings(self):
        """All strings among the arguments, as bytes."""
        found = re.finditer(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?', self.arguments)
        strings = []
        for match in found:
            if match[2]:
                raise ValueError(f"strace cut a string off: {self.name} in line {self.begin}")
            strings.append(unquoted(match[1]))
        return strings

    def data(self):
        """The bytes that a write or send really took, of one buffer or several."""
        if self.result is None or self.result < 0:
            return b""
        return b"".join(self.strings())[: self.result]


# `5</store/file>`, `8<TCP:[1.2.3.4:5->6.7.8.9:0]>`, `1</dev/null<char 1:3>>`.
DESCRIPTOR = re.compile(
    r"(?:^|, )(?:\d+|AT_FDCWD)<((?:\\.|[^<>\\]|->|<(?:char|block) [\d:]+>)*)>"
)
LINE = re.compile(r"^(\d+) +(.*)$", re.DOTALL)
UNFINISHED = re.compile(r"^(\w+)\((.*?)(?:,? )?<unfinished \.\.\.>$", re.DOTALL)
RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
WHOLE = re.compile(r"^(\w+)\((.*)$", re.DOTALL)
# Greedy: the last " = " is the one of the result, whatever stands in a buffer.
RETURNED = re.compile(r"^(.*)\) += (-?\d+|\?)(.*)$", re.DOTALL)


def read(lines):
    """All calls, in the order of their begins. Raises ValueError on what it cannot read."""
    calls, pending = [], {}
    for number, line in enumerate(lines):
        line = line.rstrip("\n")
        match = LINE.match(line)
        if not match:
            raise ValueError(f"line {number} of the trace names no thread: {line[:200]!r}")
        thread, rest = int(match[1]), match[2]
        if rest.startswith(("+++ ", "--- ", "strace: ")):
            continue
        if match := UNFINISHED.match(rest):
            call = Call(match[1], thread, match[2], number)
            if thread in pending:
                raise ValueError(f"line {number}: thread {thread} is in two calls")
            pending[thread] = call
            calls.append(call)
            continue
        if match := RESUMED.match(rest):
            call = pending.pop(thread, None)
            if call is None or call.name != match[1]:
                raise ValueError(f"line {number} resumes what did not begin: {rest[:200]!r}")
            finish(call, call.arguments + match[2], number)
            continue
        match = WHOLE.match(rest)
        if not match:
            raise ValueError(f"line {number} of the trace is no call: {rest[:200]!r}")
        call = Call(match[1], thread, "", number)
        finish(call, match[2], number)
        calls.append(call)
    return calls


def finish(call, text, number):
    """Takes the result from the end of `text`, which begins with the arguments."""
    match = RETURNED.match(text)
    if not match:
        raise ValueError(f"line {number}: {call.name} has no result: {text[-200:]!r}")
    call.arguments, call.returned = match[1], match[3].strip()
    if match[2] != "?":
        call.end, call.result = number, int(match[2])


ESCAPES = {b"n": 10, b"t": 9, b"r": 13, b"v": 11, b"f": 12, b"a": 7, b"b": 8}
ESCAPED = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]{2}|.)", re.DOTALL)


def unquoted(text):
    """The bytes that strace wrote as a C string."""

    def byte(match):
        escape = match[1]
        if escape[:1].isdigit():
            return bytes([int(escape, 8)])
        if escape[:1] == b"x" and len(escape) == 3:
            return bytes([int(escape[1:], 16)])
        return bytes([ESCAPES.get(escape, escape[0])])

    return ESCAPED.sub(byte, text.encode("latin-1", errors="strict"))
