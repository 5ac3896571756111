// What one case works with: names of its own, clients that end with it, and ways to wait and to check.
'use strict';

const { Producer, SimpleConsumer, PushConsumer, ConsumeResult } = require('rocketmq-client-nodejs');

// Long enough for a loaded machine; a condition that holds is noticed at once.
const LIMIT_MS = 60_000;
// The shortest time the server may keep a message from others.
const SHORT_MS = 10_000;
const LONG_MS = 120_000;
const AWAIT_MS = 5_000;
const REQUEST_MS = 10_000;
const RUN = Date.now().toString(36);

const sleep = ms => new Promise(resolve => { setTimeout(resolve, ms); });

class Scope {
  constructor(name, settings, control) {
    this.name = name;
    this.settings = settings;
    this.control = control;
    this.clients = [];
  }

  close() {
    for (const client of this.clients.reverse()) {
      client.shutdown().catch(error => console.error(`${this.name}: shutting down: ${error}`));
    }
  }

  freshTopic(suffix = '') {
    return `NT_${this.name}${suffix}_${RUN}`;
  }

  freshGroup() {
    return `NG_${this.name}_${RUN}`;
  }

  async topic(kind, queues = 4, suffix = '') {
    const topic = this.freshTopic(suffix);
    await this.control(`topic ${topic} ${kind} ${queues}`);
    return topic;
  }

  async group(kind = 'concurrent') {
    const group = this.freshGroup();
    await this.control(`group ${group} ${kind} 16`);
    return group;
  }

  /** Options of a client that uses the server for everyone. */
  open(more = {}) {
    return { endpoints: this.settings.grpc, namespace: '', requestTimeout: REQUEST_MS, ...more };
  }

  /** Options of a client that signs. */
  secured(accessKey = this.settings.access, accessSecret = this.settings.secret, more = {}) {
    return this.open({ endpoints: this.settings.secured, sessionCredentials: { accessKey, accessSecret }, ...more });
  }

  async start(client) {
    this.clients.push(client);
    await client.startup();
    return client;
  }

  /** Of one topic, or of several. */
  producer(topics, options = this.open(), checker = undefined) {
    return this.start(new Producer({ ...options, topics: [topics].flat(), checker }));
  }

  simple(consumerGroup, topic, filter = '*', options = this.open()) {
    return this.start(new SimpleConsumer({
      ...options, consumerGroup, subscriptions: new Map([[topic, filter]]), awaitDuration: AWAIT_MS,
    }));
  }

  push(consumerGroup, topic, consume, options = this.open()) {
    return this.start(new PushConsumer({
      ...options, consumerGroup, subscriptions: new Map([[topic, '*']]), longPollingTimeout: AWAIT_MS,
      messageListener: { consume },
    }));
  }
}

/** Keeps what was delivered, in order of delivery. */
class Inbox {
  constructor() {
    this.items = [];
    this.accept = message => {
      this.add(message);
      return ConsumeResult.SUCCESS;
    };
  }

  add(message) {
    const item = { message, text: text(message), attempt: message.deliveryAttempt, at: Date.now() };
    this.items.push(item);
    return item;
  }

  texts() {
    return this.items.map(item => item.text);
  }

  async find(what, wanted) {
    await eventually(what, LIMIT_MS, () => this.items.some(wanted), () => `only ${this.texts()}`);
    return this.items.find(wanted);
  }

  /** Waits for all bodies and checks that each came once and nothing else came. */
  async exactly(bodies) {
    for (const body of bodies) await this.find(`delivery of ${body}`, item => item.text === body);
    equal([...bodies].sort(), this.texts().sort(), 'deliveries');
  }
}

const text = message => message.body.toString();

const message = (topic, body, more = {}) => ({ topic, body: Buffer.from(body), ...more });

/** Receives until so many messages came, without acknowledging any. */
async function receive(consumer, count, invisible) {
  const all = [];
  const deadline = Date.now() + LIMIT_MS;
  while (all.length < count) {
    if (Date.now() > deadline) throw new Error(`only ${all.length} of ${count} messages within ${LIMIT_MS} ms`);
    all.push(...await consumer.receive(16, invisible));
  }
  equal(count, all.length, 'messages');
  return all;
}

/** Receives and acknowledges so many messages. */
async function take(consumer, count) {
  const messages = await receive(consumer, count, LONG_MS);
  for (const one of messages) await consumer.ack(one);
  return messages;
}

/** Polls once and checks that nothing comes. */
async function nothingMore(consumer, why) {
  equal([], (await consumer.receive(16, LONG_MS)).map(text), why);
}

async function eventually(what, limit, condition, otherwise = () => '') {
  const deadline = Date.now() + limit;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${limit} ms ${otherwise()}`);
    await sleep(10);
  }
}

function equal(expected, got, what) {
  const [left, right] = [JSON.stringify(expected), JSON.stringify(got)];
  if (left !== right) throw new Error(`${what}: expected ${left}, got ${right}`);
}

function between(low, high, got, what) {
  if (!(got >= low && got <= high)) throw new Error(`${what}: expected ${low} to ${high}, got ${got}`);
}

/** The action must fail, and something in the chain of causes must match. */
async function refused(what, pattern, action) {
  let failure;
  try {
    await action();
  } catch (error) {
    failure = error;
  }
  if (!failure) throw new Error(`${what} was accepted`);
  for (let cause = failure; cause; cause = cause.cause) {
    if (pattern.test(`${cause.name} ${cause.message} ${cause.code}`)) return;
  }
  throw new Error(`${what} was refused otherwise`, { cause: failure });
}

module.exports = {
  Scope, Inbox, LIMIT_MS, SHORT_MS, LONG_MS, text, message, receive, take, nothingMore, eventually, equal, between, refused,
};
