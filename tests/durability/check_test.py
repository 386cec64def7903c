"""The check itself, on traces small enough to read: each is told apart from one that keeps the
promise by the one line that breaks it."""

import unittest

import order_of_ack_and_sync as order
import strace

STORE = "/store"
FILE = "/store/S/1.blk"
MESSAGES = [order.Sent(b"token-aa", "S", 1), order.Sent(b"token-bb", "S", 2)]

# A server that makes a folder and a file, syncs both names, and then both messages.
NAMES = [
    '9 mkdirat(AT_FDCWD</>, "/store/S", 0755) = 0',
    '9 openat(AT_FDCWD</>, "/store/S/1.blk", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 5</store/S/1.blk>',
    "9 fsync(6</store/S>) = 0",
    "9 fsync(7</store>) = 0",
]
WRITE = r'9 pwrite64(5</store/S/1.blk>, "\1\0token-aa\n..token-bb", 21, 4096) = 21'
SYNC = "9 fdatasync(5</store/S/1.blk>) = 0"
SOCKET = "8<TCP:[127.0.0.1:4222->127.0.0.1:5000]>"
ACKS = (
    f'10 write({SOCKET}, "MSG r 1 22\\r\\n{{\\"stream\\":\\"S\\",\\"seq\\":1}}\\r\\n'
    f'MSG r 1 22\\r\\n{{\\"stream\\":\\"S\\", \\"seq\\":2}}\\r\\n", 73) = 73'
)
DELIVERIES = (
    f'10 writev({SOCKET}, [{{iov_base="MSG s 2 8\\r\\n", iov_len=11}}, '
    f'{{iov_base="token-aa\\r\\nMSG s 2 8\\r\\ntoken-bb\\r\\n", iov_len=31}}], 2) = 42'
)
KEPT = [*NAMES, WRITE, SYNC, ACKS, DELIVERIES]


def broken(lines, **options):
    return order.check(strace.read(lines), STORE, MESSAGES, **options).broken


class Check(unittest.TestCase):
    def assert_broken(self, lines, what, reason):
        found = broken(lines)
        self.assertEqual(len(found), len(what), found)
        for sentence, expected in zip(found, what):
            self.assertIn(expected, sentence)
            self.assertIn(reason, sentence)

    def test_a_promise_that_is_kept(self):
        verdict = order.check(strace.read(KEPT), STORE, MESSAGES)
        self.assertEqual((verdict.acks, verdict.deliveries, verdict.broken), (2, 2, []))

    def test_an_ack_before_the_sync(self):
        lines = [*NAMES, WRITE, ACKS, SYNC, DELIVERIES]
        self.assert_broken(lines, ["PubAck of S:1", "PubAck of S:2"], "not synced since")

    def test_a_delivery_before_the_sync(self):
        lines = [*NAMES, WRITE, DELIVERIES, SYNC, ACKS]
        self.assert_broken(lines, ["delivery of S:1", "delivery of S:2"], "not synced since")

    def test_an_ack_while_the_sync_is_under_way(self):
        begin = "9 fdatasync(5</store/S/1.blk> <unfinished ...>"
        end = "9 <... fdatasync resumed>) = 0"
        self.assertEqual(broken([*NAMES, WRITE, begin, end, ACKS, DELIVERIES]), [])
        lines = [*NAMES, WRITE, begin, ACKS, end, DELIVERIES]
        self.assert_broken(lines, ["PubAck of S:1", "PubAck of S:2"], "not synced since")

    def test_a_send_that_began_before_the_sync_came_back(self):
        head, tail = ACKS.rsplit(", 73)", 1)
        lines = [
            *NAMES, WRITE, head + " <unfinished ...>", SYNC,
            "10 <... write resumed>, 73)" + tail, DELIVERIES,
        ]
        self.assert_broken(lines, ["PubAck of S:1", "PubAck of S:2"], "not synced since")

    def test_a_sync_that_began_before_the_write_came_back(self):
        head, tail = WRITE.rsplit(", 21, 4096)", 1)
        lines = [
            *NAMES, head + " <unfinished ...>", SYNC.replace("9", "11", 1),
            "9 <... pwrite64 resumed>, 21, 4096)" + tail, ACKS, DELIVERIES,
        ]
        self.assertEqual(len(broken(lines)), 4)

    def test_a_sync_that_failed_or_was_of_something_else(self):
        for sync in [
            SYNC.replace("= 0", "= -1 EIO (Input/output error)"),
            SYNC.replace("1.blk", "2.blk"),
            "9 fdatasync(5</other/S/1.blk>) = 0",
        ]:
            self.assertEqual(len(broken([*NAMES, WRITE, sync, ACKS, DELIVERIES])), 4, sync)

    def test_a_message_that_is_never_written(self):
        for write in [
            WRITE.replace("token-bb", "token-cc"),
            # The rest of it was not taken.
            WRITE.replace("= 21", "= 20"),
        ]:
            found = broken([*NAMES, write, SYNC, ACKS, DELIVERIES])
            self.assertEqual(len(found), 2, found)
            for sentence in found:
                self.assertIn("S:2", sentence)
                self.assertIn("was not written", sentence)

    def test_a_file_whose_name_can_be_lost(self):
        for missing in ["fsync(6", "fsync(7"]:
            names = [line for line in NAMES if missing not in line]
            lines = [*names, WRITE, SYNC, ACKS, DELIVERIES]
            self.assertEqual(len(broken(lines)), 4, missing)
            self.assertEqual(broken(lines, names=False), [])
        renamed = f'9 renameat(AT_FDCWD</>, "/store/x", AT_FDCWD</>, "{FILE}") = 0'
        self.assertEqual(len(broken([*NAMES, renamed, WRITE, SYNC, ACKS, DELIVERIES])), 4)

    def test_an_ack_in_two_pieces_left_with_the_second(self):
        first = f'10 write({SOCKET}, "MSG r 1 22\\r\\n{{\\"stream\\":\\"S\\",", 26) = 26'
        lines = [
            *NAMES, WRITE, first, SYNC,
            f'10 write({SOCKET}, "\\"seq\\":1}}\\r\\nMSG r 1 22\\r\\n'
            '{\\"stream\\":\\"S\\",\\"seq\\":2}\\r\\n", 46) = 46',
            DELIVERIES,
        ]
        self.assertEqual(broken(lines), [])

    def test_a_trace_that_lacks_what_was_seen_is_no_proof(self):
        for missing in [ACKS, DELIVERIES]:
            with self.assertRaisesRegex(ValueError, "is not in the trace"):
                broken([line for line in KEPT if line != missing])
        with self.assertRaisesRegex(ValueError, "cut a string off"):
            broken([line.replace('token-bb", 21', 'token-bb"..., 21') for line in KEPT])
        with self.assertRaisesRegex(ValueError, "is no call"):
            broken([*KEPT, "9 something else"])
        with self.assertRaisesRegex(ValueError, "not traced"):
            broken([*KEPT, f"9 splice(3<pipe:[1]>, NULL, {SOCKET}, NULL, 10, 0) = 10"])


if __name__ == "__main__":
    unittest.main()
