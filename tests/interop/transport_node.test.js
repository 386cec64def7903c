// @nats-io/transport-node against the server under test: what a JavaScript program written for
// NATS does. Run it with tests/interop/run, or by hand with the server in FULMAR_TEST_SERVER:
//
//     npm test

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { connect, createInbox, Empty, errors, headers } from "@nats-io/transport-node";

const DEADLINE_MS = 10_000;

/** A running server on loopback, with a configuration file when there is a text for it. */
class Server {
  static async start(t, configuration) {
    const server = new Server();
    server.directory = mkdtempSync(join(tmpdir(), "interop-"));
    server.port = await freePort();
    server.arguments = ["-a", "127.0.0.1", "-p", `${server.port}`];
    server.arguments.push("--ports_file_dir", server.directory);
    if (configuration !== undefined) {
      const file = join(server.directory, "server.conf");
      writeFileSync(file, configuration);
      server.arguments.push("-c", file);
    }
    t.after(async () => {
      await server.kill();
      rmSync(server.directory, { recursive: true });
    });
    await server.start();
    return server;
  }

  get url() {
    return `127.0.0.1:${this.port}`;
  }

  async start() {
    const log = openSync(join(this.directory, "log"), "a");
    this.process = spawn(process.env.FULMAR_TEST_SERVER, this.arguments, {
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.exit = new Promise((resolve) => this.process.once("exit", resolve));
    await eventually("the server to be ready", () => {
      assert.equal(this.process.exitCode, null, "the server ended instead of becoming ready");
      return this.ready();
    });
  }

  /** The ports file is there and whole. */
  ready() {
    const file = readdirSync(this.directory).find((name) =>
      name.endsWith(`_${this.process.pid}.ports`)
    );
    if (file === undefined) return false;
    try {
      return JSON.parse(readFileSync(join(this.directory, file), "utf8")).nats.length > 0;
    } catch {
      return false;
    }
  }

  async kill() {
    this.process.kill("SIGKILL");
    await this.exit;
  }
}

/** A free port that outgoing connections never take, so that a restart finds it free again. */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const free = await new Promise((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

async function eventually(what, condition) {
  const end = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await sleep(5);
  }
}

async function client(t, server, options = {}) {
  const connection = await connect({ servers: server.url, reconnectTimeWait: 20, ...options });
  t.after(() => connection.close());
  return connection;
}

/** A message to itself and back. */
async function echo(connection) {
  const subject = createInbox();
  const subscription = connection.subscribe(subject, { max: 1 });
  connection.publish(subject, "echo");
  for await (const message of subscription) assert.equal(message.string(), "echo");
  assert.equal(subscription.getReceived(), 1);
}

/** The texts of the next messages of a subscription. */
async function texts(subscription, count) {
  const received = [];
  for await (const message of subscription) {
    received.push(message.string());
    if (received.length === count) break;
  }
  return received;
}

const options = { timeout: 60_000 };

test("the server introduces itself", options, async (t) => {
  const server = await Server.start(t);
  const connection = await client(t, server, { name: "gull" });
  assert.equal(connection.info.version, "2.15.1");
  assert.equal(connection.info.port, server.port);
  assert.equal(connection.info.max_payload, 1_048_576);
  assert.equal(connection.info.headers, true);
  assert.ok(connection.info.client_id > 0);
  assert.equal(connection.getServer(), server.url);
  assert.ok((await connection.rtt()) >= 0);
});

test("publish and subscribe", options, async (t) => {
  const server = await Server.start(t);
  const publisher = await client(t, server);
  const subscriber = await client(t, server);
  const subscription = subscriber.subscribe("greet.joe", { max: 1_001 });
  await subscriber.flush();
  for (let number = 0; number < 1_000; number++) publisher.publish("greet.joe", `${number}`);
  publisher.publish("greet.sue", "not for joe");
  publisher.publish("greet.joe", Empty, { reply: "back.here" });
  await publisher.flush();
  const received = [];
  for await (const message of subscription) received.push(message);
  assert.deepEqual(
    received.map((message) => message.string()),
    [...Array.from({ length: 1_000 }, (_, number) => `${number}`), ""],
  );
  assert.equal(received[0].subject, "greet.joe");
  assert.equal(received.at(-1).reply, "back.here");
  assert.equal(publisher.stats().outMsgs, 1_002);
  assert.equal(subscriber.stats().inMsgs, 1_001);
});

test("wildcards", options, async (t) => {
  const connection = await client(t, await Server.start(t));
  const star = connection.subscribe("time.*.east");
  const rest = connection.subscribe("time.us.>");
  for (const subject of ["time.us.east", "time.eu.east", "time.us.east.atlanta", "time.us"]) {
    connection.publish(subject, subject);
  }
  await connection.flush();
  assert.deepEqual(await texts(star, 2), ["time.us.east", "time.eu.east"]);
  assert.deepEqual(await texts(rest, 2), ["time.us.east", "time.us.east.atlanta"]);
});

test("queue groups", options, async (t) => {
  const server = await Server.start(t);
  const publisher = await client(t, server);
  const shares = [[], [], []];
  for (const share of shares) {
    const member = await client(t, server);
    member.subscribe("work", {
      queue: "workers",
      callback: (error, message) => share.push(error ?? Number(message.string())),
    });
    await member.flush();
  }
  for (let number = 0; number < 600; number++) publisher.publish("work", `${number}`);
  await publisher.flush();
  await eventually("all the work", () => shares.flat().length >= 600);
  const all = shares.flat().sort((one, other) => one - other);
  assert.deepEqual(all, Array.from({ length: 600 }, (_, number) => number));
  for (const share of shares) {
    assert.ok(share.length > 50, `a member got only ${share.length}`);
    assert.deepEqual(share, [...share].sort((one, other) => one - other));
  }
});

test("requests and replies", options, async (t) => {
  const server = await Server.start(t);
  const responder = await client(t, server);
  const requester = await client(t, server);
  responder.subscribe("square", {
    callback: (_error, message) => message.respond(`${Number(message.string()) ** 2}`),
  });
  await responder.flush();
  // With the shared inbox, and with a subscription for each.
  for (const noMux of [false, true]) {
    const numbers = Array.from({ length: 100 }, (_, number) => number);
    const replies = await Promise.all(numbers.map((number) => {
      const reply = noMux ? createInbox() : undefined;
      return requester.request("square", `${number}`, { timeout: 5_000, noMux, reply });
    }));
    assert.deepEqual(
      replies.map((reply) => Number(reply.string())),
      numbers.map((number) => number ** 2),
    );
  }
  // Several answers to one request.
  for (const name of ["one", "two", "three"]) {
    const voice = await client(t, server);
    voice.subscribe("roll", { callback: (_error, message) => message.respond(name) });
    await voice.flush();
  }
  const names = [];
  const answers = await requester.requestMany("roll", Empty, { strategy: "count", maxMessages: 3, maxWait: 5_000 });
  for await (const answer of answers) names.push(answer.string());
  assert.deepEqual(names.sort(), ["one", "three", "two"]);
});

test("requests without an answer", options, async (t) => {
  const connection = await client(t, await Server.start(t));
  for (const noMux of [false, true]) {
    await assert.rejects(
      connection.request("nobody", Empty, { timeout: 5_000, noMux, reply: noMux ? createInbox() : undefined }),
      (error) => error instanceof errors.NoRespondersError || error.cause instanceof errors.NoRespondersError,
    );
  }
  connection.subscribe("silent");
  await assert.rejects(
    connection.request("silent", Empty, { timeout: 100 }),
    (error) => error instanceof errors.TimeoutError || error.cause instanceof errors.TimeoutError,
  );
});

test("headers", options, async (t) => {
  const connection = await client(t, await Server.start(t));
  const subscription = connection.subscribe("headers", { max: 3 });
  const fields = headers();
  fields.set("Color", "blue");
  fields.append("Many", "one");
  fields.append("Many", "two");
  fields.set("X-Odd_1", "with: colon");
  connection.publish("headers", "body", { headers: fields });
  connection.publish("headers", Empty, { headers: fields, reply: "back" });
  connection.publish("headers", "plain");
  const received = [];
  for await (const message of subscription) received.push(message);
  for (const message of received.slice(0, 2)) {
    assert.equal(message.headers.get("Color"), "blue");
    assert.deepEqual(message.headers.values("Many"), ["one", "two"]);
    assert.equal(message.headers.get("X-Odd_1"), "with: colon");
  }
  assert.deepEqual(received.map((message) => message.string()), ["body", "", "plain"]);
  assert.equal(received[1].reply, "back");
  assert.equal(received[2].headers, undefined);
});

test("unsubscribe after a number", options, async (t) => {
  const connection = await client(t, await Server.start(t));
  const subscription = connection.subscribe("few");
  subscription.unsubscribe(3);
  for (let number = 0; number < 10; number++) connection.publish("few", `${number}`);
  await connection.flush();
  assert.deepEqual(await texts(subscription), ["0", "1", "2"]);
  assert.ok(subscription.isClosed());
  await assert.rejects(connection.request("few", Empty, { timeout: 5_000 }));
});

test("draining", options, async (t) => {
  const server = await Server.start(t);
  const publisher = await client(t, server);
  const connection = await client(t, server);
  const counts = { one: 0, two: 0 };
  const callback = (_error, message) => counts[message.subject]++;
  const one = connection.subscribe("one", { callback });
  connection.subscribe("two", { callback });
  await connection.flush();
  for (const subject of ["one", "two"]) {
    for (let number = 0; number < 200; number++) publisher.publish(subject, "x");
  }
  await publisher.flush();
  await one.drain();
  assert.equal(counts.one, 200);
  await assert.rejects(publisher.request("one", Empty, { timeout: 5_000 }));
  await connection.drain();
  assert.deepEqual(counts, { one: 200, two: 200 });
  assert.ok(connection.isClosed());
  await assert.rejects(publisher.request("two", Empty, { timeout: 5_000 }));
});

test("payloads up to the limit", options, async (t) => {
  const connection = await client(t, await Server.start(t, "max_payload: 100KB"));
  assert.equal(connection.info.max_payload, 102_400);
  const sizes = [0, 1, 511, 512, 4_096, 65_536, 102_400];
  const subscription = connection.subscribe("large", { max: sizes.length });
  const payloads = sizes.map((size) => Buffer.alloc(size, `${size}`));
  for (const payload of payloads) connection.publish("large", payload);
  let index = 0;
  for await (const message of subscription) {
    assert.ok(Buffer.from(message.data).equals(payloads[index]), `${sizes[index]} bytes`);
    index++;
  }
  assert.equal(index, sizes.length);
  assert.throws(() => connection.publish("large", Buffer.alloc(102_401)), /max_payload/i);
  await echo(connection);
});

test("credentials", options, async (t) => {
  for (const [configuration, good, bad] of [
    ["authorization { user: ana, password: secret }", { user: "ana", pass: "secret" }, { user: "ana", pass: "wrong" }],
    ["authorization { token: secret }", { token: "secret" }, { token: "wrong" }],
  ]) {
    const server = await Server.start(t, configuration);
    const connection = await client(t, server, good);
    assert.equal(connection.info.auth_required, true);
    await echo(connection);
    for (const wrong of [bad, {}]) {
      await assert.rejects(client(t, server, { ...wrong, reconnect: false }), errors.AuthorizationError);
    }
  }
});

test("reconnecting after a restart", options, async (t) => {
  const server = await Server.start(t);
  const connection = await client(t, server, { maxReconnectAttempts: -1 });
  const seen = [];
  (async () => {
    for await (const status of connection.status()) seen.push(status.type);
  })();
  const received = [];
  const callback = (_error, message) => received.push(message.string());
  connection.subscribe("after.*", { callback });
  connection.subscribe("after.all", { queue: "group", callback });
  await echo(connection);
  const count = (type) => seen.filter((name) => name === type).length;
  for (const round of [1, 2]) {
    await server.kill();
    await eventually("the end", () => count("disconnect") === round);
    await server.start();
    await eventually("the return", () => count("reconnect") === round);
    connection.publish("after.all", "hello");
    await eventually("two messages", () => received.length === 2 * round);
    assert.deepEqual(received.slice(-2), ["hello", "hello"]);
    await echo(connection);
  }
});

test("going to another server of the list", options, async (t) => {
  const first = await Server.start(t);
  const second = await Server.start(t);
  const connection = await connect({
    servers: [first.url, second.url],
    noRandomize: true,
    reconnectTimeWait: 20,
  });
  t.after(() => connection.close());
  const subscription = connection.subscribe("moved");
  await echo(connection);
  assert.equal(connection.getServer(), first.url);
  await first.kill();
  await eventually("the other server", () => connection.getServer() === second.url);
  connection.publish("moved", "here");
  assert.deepEqual(await texts(subscription, 1), ["here"]);
});

test("lame duck is announced", options, async (t) => {
  const server = await Server.start(
    t,
    'lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"',
  );
  const connection = await client(t, server, { reconnect: false });
  const seen = [];
  (async () => {
    for await (const status of connection.status()) seen.push(status.type);
  })();
  await echo(connection);
  server.process.kill("SIGUSR2");
  await eventually("the announcement", () => seen.includes("ldm"));
  await echo(connection);
  await connection.closed();
  assert.equal(await server.exit, 0);
});

test("verbose, pedantic, without echo", options, async (t) => {
  const server = await Server.start(t);
  const deaf = await client(t, server, { verbose: true, pedantic: true, noEcho: true });
  const hearing = await client(t, server);
  const subscription = deaf.subscribe("voice");
  await deaf.flush();
  deaf.publish("voice", "unheard");
  await deaf.flush();
  hearing.publish("voice", "heard");
  assert.deepEqual(await texts(subscription, 1), ["heard"]);
});

test("errors of the server reach the program", options, async (t) => {
  const connection = await client(t, await Server.start(t, "max_sub_tokens: 3"));
  const caught = new Promise((resolve) => {
    connection.subscribe("a.b.c.d", { callback: (error) => resolve(error) });
  });
  const error = await caught;
  assert.ok(error instanceof errors.PermissionViolationError, `${error}`);
  assert.match(error.message, /permissions violation for subscription to "a\.b\.c\.d"/i);
  await echo(connection);
});
