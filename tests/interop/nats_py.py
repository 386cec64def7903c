"""nats-py against the server under test: what a Python program written for NATS does.

Run it with tests/interop/run, or by hand with the server in FULMAR_TEST_SERVER:

    python -m unittest -v nats_py
"""

import asyncio
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import nats
from nats import errors

DEADLINE_SECONDS = 10


class Server:
    """A running server on loopback, with a configuration file when there is a text for it."""

    def __init__(self, configuration=None):
        self.directory = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.directory.name)
        self.port = free_port()
        self.arguments = ["-a", "127.0.0.1", "-p", str(self.port)]
        self.arguments += ["--ports_file_dir", self.directory.name]
        if configuration is not None:
            file = self.path / "server.conf"
            file.write_text(configuration)
            self.arguments += ["-c", str(file)]
        self.start()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        with open(self.path / "log", "ab") as log:
            self.process = subprocess.Popen(
                [os.environ["FULMAR_TEST_SERVER"], *self.arguments], stdout=log, stderr=log
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the server does not start:\n" + self.log())
            time.sleep(0.005)

    def ready(self):
        """The ports file is there and whole."""
        for file in self.path.glob(f"*_{self.process.pid}.ports"):
            try:
                return bool(json.loads(file.read_text())["nats"])
            except ValueError:
                return False
        return False

    def log(self):
        return (self.path / "log").read_text(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def close(self):
        self.kill()
        self.directory.cleanup()


def free_port():
    """A free port that outgoing connections never take, so that a restart finds it free again."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class NatsPy(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.clients = []

    async def asyncTearDown(self):
        for client in self.clients:
            await client.close()

    def server(self, configuration=None):
        server = Server(configuration)
        self.addCleanup(server.close)
        return server

    async def connect(self, server, **options):
        options.setdefault("reconnect_time_wait", 0.02)
        client = await nats.connect(server.url, **options)
        self.clients.append(client)
        return client

    async def echo(self, client):
        """A message to itself and back."""
        subject = client.new_inbox()
        subscription = await client.subscribe(subject)
        await client.publish(subject, b"echo")
        message = await subscription.next_msg(DEADLINE_SECONDS)
        self.assertEqual(message.data, b"echo")
        await subscription.unsubscribe()

    async def settle(self, client):
        """The server has seen everything that the client did before.

        Twice, because this client's flush sends its PING ahead of what it still has to send: only
        the second one comes after it.
        """
        await client.flush(DEADLINE_SECONDS)
        await client.flush(DEADLINE_SECONDS)

    async def eventually(self, what, condition):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            await asyncio.sleep(0.005)

    async def test_server_introduces_itself(self):
        server = self.server()
        client = await self.connect(server)
        self.assertTrue(client.is_connected)
        version = client.connected_server_version
        self.assertEqual((version.major, version.minor, version.patch), (2, 15, 1))
        self.assertEqual(client.max_payload, 1_048_576)
        self.assertGreater(client.client_id, 0)
        self.assertEqual(client.connected_url.netloc, f"127.0.0.1:{server.port}")

    async def test_publish_and_subscribe(self):
        server = self.server()
        publisher = await self.connect(server)
        subscriber = await self.connect(server)
        received = []
        done = asyncio.Event()

        async def callback(message):
            received.append(message)
            if len(received) == 1_001:
                done.set()

        await subscriber.subscribe("greet.joe", cb=callback)
        await self.settle(subscriber)
        for number in range(1_000):
            await publisher.publish("greet.joe", str(number).encode())
        await publisher.publish("greet.sue", b"not for joe")
        await publisher.publish("greet.joe", b"", reply="back.here")
        await self.settle(publisher)
        await asyncio.wait_for(done.wait(), DEADLINE_SECONDS)
        self.assertEqual(
            [message.data for message in received],
            [str(number).encode() for number in range(1_000)] + [b""],
        )
        self.assertEqual((received[0].subject, received[0].reply), ("greet.joe", ""))
        self.assertEqual(received[-1].reply, "back.here")
        self.assertEqual(publisher.stats["out_msgs"], 1_002)
        self.assertEqual(subscriber.stats["in_msgs"], 1_001)
        self.assertEqual(subscriber.stats["in_bytes"], publisher.stats["out_bytes"] - 11)

    async def test_wildcards(self):
        client = await self.connect(self.server())
        star = await client.subscribe("time.*.east")
        rest = await client.subscribe("time.us.>")
        for subject in ["time.us.east", "time.eu.east", "time.us.east.atlanta", "time.us"]:
            await client.publish(subject, subject.encode())
        await self.settle(client)
        for subscription, expected in [
            (star, ["time.us.east", "time.eu.east"]),
            (rest, ["time.us.east", "time.us.east.atlanta"]),
        ]:
            self.assertEqual(subscription.pending_msgs, len(expected))
            for subject in expected:
                self.assertEqual((await subscription.next_msg(1)).subject, subject)

    async def test_queue_groups(self):
        server = self.server()
        publisher = await self.connect(server)
        shares = [[], [], []]
        for share in shares:
            member = await self.connect(server)

            async def callback(message, share=share):
                share.append(int(message.data))

            await member.subscribe("work", queue="workers", cb=callback)
            await self.settle(member)
        for number in range(600):
            await publisher.publish("work", str(number).encode())
        await self.settle(publisher)
        await self.eventually("all the work", lambda: sum(map(len, shares)) >= 600)
        self.assertEqual(sorted(sum(shares, [])), list(range(600)))
        for share in shares:
            self.assertGreater(len(share), 50)
            self.assertEqual(share, sorted(share))

    async def test_requests_and_replies(self):
        server = self.server()
        responder = await self.connect(server)
        client = await self.connect(server)

        async def square(message):
            await message.respond(str(int(message.data) ** 2).encode())

        await responder.subscribe("square", cb=square)
        await self.settle(responder)
        for number in range(100):
            reply = await client.request("square", str(number).encode(), timeout=5)
            self.assertEqual(int(reply.data), number**2)
        # Many at once find their own reply; the old way, with a subscription for each, too.
        replies = await asyncio.gather(
            *(client.request("square", str(number).encode(), timeout=5) for number in range(100)),
            *(
                client.request("square", str(number).encode(), timeout=5, old_style=True)
                for number in range(100)
            ),
        )
        squares = [number**2 for number in range(100)]
        self.assertEqual([int(reply.data) for reply in replies], squares * 2)

    async def test_requests_without_an_answer(self):
        client = await self.connect(self.server())
        started = time.monotonic()
        with self.assertRaises(errors.NoRespondersError):
            await client.request("nobody", b"", timeout=5)
        self.assertLess(time.monotonic() - started, 4)
        await client.subscribe("silent")
        with self.assertRaises(errors.TimeoutError):
            await client.request("silent", b"", timeout=0.1)

    async def test_headers(self):
        client = await self.connect(self.server())
        subscription = await client.subscribe("headers")
        headers = {"Color": "blue", "X-Odd_1": "with: colon", "Empty": ""}
        await client.publish("headers", b"body", headers=headers)
        await client.publish("headers", b"", reply="back", headers={"a": "b"})
        await client.publish("headers", b"plain")
        message = await subscription.next_msg(DEADLINE_SECONDS)
        self.assertEqual((message.data, message.reply), (b"body", ""))
        self.assertEqual(dict(message.headers), headers)
        message = await subscription.next_msg(DEADLINE_SECONDS)
        self.assertEqual((message.data, message.reply), (b"", "back"))
        self.assertEqual(dict(message.headers), {"a": "b"})
        message = await subscription.next_msg(DEADLINE_SECONDS)
        self.assertEqual((message.data, message.headers), (b"plain", None))

    async def test_unsubscribe_after_a_number(self):
        client = await self.connect(self.server())
        received = []

        async def callback(message):
            received.append(message.data)

        subscription = await client.subscribe("few", cb=callback)
        await subscription.unsubscribe(limit=3)
        for number in range(10):
            await client.publish("few", str(number).encode())
        await self.settle(client)
        await self.eventually("three messages", lambda: len(received) >= 3)
        await self.echo(client)
        self.assertEqual(received, [b"0", b"1", b"2"])
        with self.assertRaises(errors.NoRespondersError):
            await client.request("few", b"", timeout=5)

    async def test_draining(self):
        server = self.server()
        publisher = await self.connect(server)
        client = await self.connect(server)
        received = {"one": 0, "two": 0}

        async def callback(message):
            received[message.subject] += 1
            await asyncio.sleep(0)

        one = await client.subscribe("one", cb=callback)
        await client.subscribe("two", cb=callback)
        await self.settle(client)
        for subject in received:
            for _ in range(200):
                await publisher.publish(subject, b"x")
        await self.settle(publisher)
        # One subscription: everything the server had sent before is handled.
        await one.drain()
        self.assertEqual(received["one"], 200)
        await self.settle(client)
        with self.assertRaises(errors.NoRespondersError):
            await publisher.request("one", b"", timeout=5)
        # The whole client: then it is closed.
        await client.drain()
        self.assertEqual(received, {"one": 200, "two": 200})
        self.assertTrue(client.is_closed)
        with self.assertRaises(errors.NoRespondersError):
            await publisher.request("two", b"", timeout=5)

    async def test_payloads_up_to_the_limit(self):
        client = await self.connect(self.server("max_payload: 100KB"))
        self.assertEqual(client.max_payload, 102_400)
        subscription = await client.subscribe("large")
        for size in [0, 1, 511, 512, 4_096, 65_536, 102_400]:
            payload = random.randbytes(size)
            await client.publish("large", payload)
            self.assertEqual((await subscription.next_msg(DEADLINE_SECONDS)).data, payload)
        with self.assertRaises(errors.MaxPayloadError):
            await client.publish("large", b"x" * 102_401)
        await self.echo(client)

    async def test_credentials(self):
        user = "authorization { user: ana, password: secret }"
        token = "authorization { token: secret }"
        for configuration, good, bad in [
            (user, {"user": "ana", "password": "secret"}, {"user": "ana", "password": "wrong"}),
            (token, {"token": "secret"}, {"token": "wrong"}),
        ]:
            server = self.server(configuration)
            await self.echo(await self.connect(server, **good))
            for options in [bad, {}]:
                with self.assertRaises((errors.Error, errors.AuthorizationError)) as caught:
                    await self.connect(server, allow_reconnect=False, **options)
                self.assertIn("authorization violation", str(caught.exception).lower())
        server = self.server(user)
        client = await nats.connect(server.url.replace("//", "//ana:secret@"))
        self.clients.append(client)
        await self.echo(client)

    async def test_reconnecting_after_a_restart(self):
        server = self.server()
        events = []

        async def disconnected():
            events.append("disconnected")

        async def reconnected():
            events.append("reconnected")

        async def failed(_error):
            pass

        client = await self.connect(
            server,
            disconnected_cb=disconnected,
            reconnected_cb=reconnected,
            error_cb=failed,
            max_reconnect_attempts=-1,
        )
        plain = await client.subscribe("after.*")
        queue = await client.subscribe("after.all", queue="group")
        await self.echo(client)
        for count in [1, 2]:
            server.kill()
            await self.eventually("the end", lambda: events.count("disconnected") == count)
            # While the server is away what is published waits.
            await client.publish("after.away", b"waited")
            server.start()
            await self.eventually("the return", lambda: events.count("reconnected") == count)
            self.assertEqual((await plain.next_msg(DEADLINE_SECONDS)).data, b"waited")
            await client.publish("after.all", b"hello")
            self.assertEqual((await plain.next_msg(DEADLINE_SECONDS)).data, b"hello")
            self.assertEqual((await queue.next_msg(DEADLINE_SECONDS)).data, b"hello")
            await self.echo(client)
        self.assertEqual(client.stats["reconnects"], 2)

    async def test_going_to_another_server_of_the_list(self):
        first, second = self.server(), self.server()

        async def failed(_error):
            pass

        client = await nats.connect(
            servers=[first.url, second.url],
            dont_randomize=True,
            reconnect_time_wait=0.02,
            error_cb=failed,
        )
        self.clients.append(client)
        subscription = await client.subscribe("moved")
        await self.echo(client)
        first.kill()
        await self.eventually(
            "the other server",
            lambda: client.is_connected and client.connected_url.port == second.port,
        )
        await client.publish("moved", b"here")
        self.assertEqual((await subscription.next_msg(DEADLINE_SECONDS)).data, b"here")

    async def test_lame_duck_ends_connections(self):
        server = self.server('lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"')
        closed = asyncio.Event()

        async def on_closed():
            closed.set()

        async def failed(_error):
            pass

        client = await self.connect(
            server, allow_reconnect=False, closed_cb=on_closed, error_cb=failed
        )
        await self.echo(client)
        server.signal(signal.SIGUSR2)
        await self.echo(client)
        await asyncio.wait_for(closed.wait(), DEADLINE_SECONDS)
        self.assertEqual(server.process.wait(DEADLINE_SECONDS), 0)

    async def test_flush_and_options(self):
        server = self.server()
        client = await self.connect(
            server, name="gull", verbose=True, pedantic=True, no_echo=True, ping_interval=1
        )
        self.assertGreater(await client.rtt(), 0)
        own = await client.subscribe("voice")
        for _ in range(10):
            await client.flush(timeout=5)
        await client.publish("voice", b"unheard")
        await client.flush(timeout=5)
        other = await self.connect(server)
        await other.publish("voice", b"heard")
        self.assertEqual((await own.next_msg(DEADLINE_SECONDS)).data, b"heard")

    async def test_server_errors_reach_the_program(self):
        server = self.server("max_sub_tokens: 3")
        seen = []

        async def failed(error):
            seen.append(str(error))

        client = await self.connect(server, error_cb=failed)
        await client.subscribe("a.b.c.d")
        await self.settle(client)
        await self.eventually("an error", lambda: seen)
        expected = "permissions violation for subscription to \"a.b.c.d\", too many tokens"
        self.assertIn(expected, seen[0].lower())
        await self.echo(client)


if __name__ == "__main__":
    unittest.main()
