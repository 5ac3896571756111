// The cases.
'use strict';

const { randomFillSync } = require('node:crypto');
const { ConsumeResult, FilterExpression } = require('rocketmq-client-nodejs');
const { TransactionResolution, FilterType } =
  require('rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb');
const {
  Inbox, SHORT_MS, LONG_MS, text, message, receive, take, nothingMore, eventually, equal, between, refused,
} = require('./scope.js');

// How much later than its lease says a message may come back.
const LATE_MS = 20_000;
// The second check of a transaction may come as late as the server's usual interval allows.
const CHECKS_MS = 90_000;

// The longest first, so that they overlap with all others.
const cases = [
  async function simple_redelivery_after_invisible_time(scope) {
    const topic = await scope.topic('NORMAL');
    const consumer = await scope.simple(await scope.group(), topic);
    await (await scope.producer(topic)).send(message(topic, 'again'));
    const [first] = await receive(consumer, 1, SHORT_MS);
    const leased = Date.now();
    equal(1, first.deliveryAttempt, 'first attempt');
    const [second] = await take(consumer, 1);
    // The lease began up to a round trip before the answer arrived.
    between(SHORT_MS - 1_000, SHORT_MS + LATE_MS, Date.now() - leased, 'time to redelivery');
    equal(2, second.deliveryAttempt, 'second attempt');
    equal(first.messageId, second.messageId, 'message id');
    await nothingMore(consumer, 'after the acknowledgement');
  },

  async function simple_change_invisible_duration(scope) {
    const topic = await scope.topic('NORMAL');
    const consumer = await scope.simple(await scope.group(), topic);
    await (await scope.producer(topic)).send(message(topic, 'sooner'));
    const [first] = await receive(consumer, 1, LONG_MS);
    const changed = Date.now();
    await consumer.changeInvisibleDuration(first, 3_000);
    const [second] = await take(consumer, 1);
    between(2_500, 3_000 + LATE_MS, Date.now() - changed, 'time to redelivery');
    equal(2, second.deliveryAttempt, 'second attempt');
    await nothingMore(consumer, 'after the acknowledgement');
  },

  async function transaction_check_back_unknown_then_commit(scope) {
    const checks = [];
    const { topic, producer, consumer } = await undecided(scope, async view => {
      checks.push([view.messageId, text(view), view.tag]);
      return checks.length === 1 ? TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED
        : TransactionResolution.COMMIT;
    });
    const receipt = await producer.send(message(topic, 'asked', { tag: 't' }), producer.beginTransaction());
    await eventually('two checks', CHECKS_MS, () => checks.length >= 2, () => `but ${checks.length}`);
    for (const check of checks) equal([receipt.messageId, 'asked', 't'], check, 'the message that was asked about');
    equal(['asked'], (await take(consumer, 1)).map(text), 'deliveries');
  },

  async function push_failure_is_redelivered(scope) {
    const topic = await scope.topic('NORMAL');
    const inbox = new Inbox();
    await scope.push(await scope.group(), topic, view => {
      const { text: body, attempt } = inbox.add(view);
      if (body === 'throws' && attempt === 1) throw new Error('as the case wants it');
      return body === 'fails' && attempt === 1 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
    });
    const producer = await scope.producer(topic);
    for (const body of ['good', 'fails', 'throws']) {
      await producer.send(message(topic, body, { keys: ['key'], properties: new Map([['p', 'v']]) }));
    }
    for (const body of ['fails', 'throws']) {
      const first = await inbox.find(`delivery of ${body}`, item => item.text === body);
      const second = await inbox.find(`second delivery of ${body}`, item => item.text === body && item.attempt === 2);
      equal(first.message.messageId, second.message.messageId, 'message id');
      equal(['key'], second.message.keys, 'keys');
      equal('v', second.message.properties.get('p'), 'property');
    }
    equal(5, inbox.items.length, 'deliveries');
  },

  async function push_fifo_failure_blocks_its_group(scope) {
    const topic = await scope.topic('FIFO', 1);
    const inbox = new Inbox();
    let hasFailed = false;
    await scope.push(await scope.group('orderly'), topic, view => {
      if (inbox.add(view).text !== 'f-1' || hasFailed) return ConsumeResult.SUCCESS;
      hasFailed = true;
      return ConsumeResult.FAILURE;
    });
    const producer = await scope.producer(topic);
    for (let i = 0; i < 4; i++) await producer.send(message(topic, `f-${i}`, { messageGroup: 'one' }));
    await inbox.find('the last message', item => item.text === 'f-3');
    equal(['f-0', 'f-1', 'f-1', 'f-2', 'f-3'], inbox.texts(), 'order');
  },

  async function recall_of_a_delayed_message(scope) {
    const topic = await scope.topic('DELAY');
    const inbox = new Inbox();
    await scope.push(await scope.group(), topic, inbox.accept);
    const producer = await scope.producer(topic);
    const at = Date.now() + 8_000;
    const recalled = await producer.send(message(topic, 'recalled', { deliveryTimestamp: new Date(at) }));
    // Due later, so that its arrival says that the other would have come.
    await producer.send(message(topic, 'fence', { deliveryTimestamp: new Date(at + 4_000) }));
    const receipt = await producer.recallMessage(topic, recalled.recallHandle);
    equal(recalled.messageId, receipt.messageId, 'message id of the recall');
    await inbox.exactly(['fence']);
  },

  async function delay_is_not_early(scope) {
    const topic = await scope.topic('DELAY');
    const inbox = new Inbox();
    await scope.push(await scope.group(), topic, inbox.accept);
    const producer = await scope.producer(topic);
    const due = new Map();
    for (const seconds of [2, 4, 7]) {
      const at = Date.now() + seconds * 1_000;
      due.set(`in ${seconds}`, at);
      await producer.send(message(topic, `in ${seconds}`, { deliveryTimestamp: new Date(at) }));
    }
    await inbox.exactly([...due.keys()]);
    for (const item of inbox.items) {
      between(0, 8_000, item.at - due.get(item.text), `lateness of ${item.text}`);
      equal(due.get(item.text), item.message.deliveryTimestamp.getTime(), 'delivery time');
    }
  },

  async function transaction_commit(scope) {
    const { topic, producer, consumer } = await undecided(scope);
    const transaction = producer.beginTransaction();
    const receipt = await producer.send(message(topic, 'commit', { tag: 't', keys: ['k'] }), transaction);
    await nothingMore(consumer, 'before the commit');
    await transaction.commit();
    const [view] = await take(consumer, 1);
    equal(['commit', receipt.messageId, 't', ['k']], [text(view), view.messageId, view.tag, view.keys], 'message');
  },

  async function transaction_rollback(scope) {
    const { topic, producer, consumer } = await undecided(scope);
    const back = producer.beginTransaction();
    await producer.send(message(topic, 'rolled back'), back);
    await back.rollback();
    const forth = producer.beginTransaction();
    await producer.send(message(topic, 'committed'), forth);
    await forth.commit();
    equal(['committed'], (await take(consumer, 1)).map(text), 'deliveries');
    await nothingMore(consumer, 'after a rollback');
  },

  async function normal_round_trip(scope) {
    const topic = await scope.topic('NORMAL');
    const consumer = await scope.simple(await scope.group(), topic);
    const producer = await scope.producer(topic);
    const ids = new Map();
    for (let i = 0; i < 10; i++) {
      const body = `n-${i}`;
      const receipt = await producer.send(message(topic, body, {
        tag: 'tag-é', keys: [`key-${body}`, 'second'], properties: new Map([['colour', 'grün']]),
      }));
      ids.set(body, receipt.messageId);
    }
    for (const view of await take(consumer, 10)) {
      const body = text(view);
      equal(ids.get(body), view.messageId, `message id of ${body}`);
      ids.delete(body);
      equal([topic, 'tag-é', [`key-${body}`, 'second'], 1], [view.topic, view.tag, view.keys, view.deliveryAttempt],
        'topic, tag, keys and attempt');
      equal('grün', view.properties.get('colour'), 'property');
      equal(false, Boolean(view.corrupted), 'corrupted');
    }
    equal(0, ids.size, 'messages that did not come');
    await nothingMore(consumer, 'after the acknowledgements');
  },

  async function large_and_binary_bodies(scope) {
    const topic = await scope.topic('NORMAL');
    const consumer = await scope.simple(await scope.group(), topic);
    const producer = await scope.producer(topic);
    const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    // This client refuses to receive more than 4 MiB in all.
    for (const body of [Buffer.from([0]), every, Buffer.alloc(1 << 20), randomFillSync(Buffer.alloc(3 << 20))]) {
      await producer.send({ topic, body });
      const [view] = await take(consumer, 1);
      if (!body.equals(view.body)) {
        throw new Error(`a body of ${body.length} bytes came back as another one of ${view.body.length}`);
      }
    }
  },

  async function fifo_keeps_order_per_group(scope) {
    const topic = await scope.topic('FIFO');
    const inbox = new Inbox();
    await scope.push(await scope.group('orderly'), topic, inbox.accept);
    const producer = await scope.producer(topic);
    const bodies = [];
    for (let sequence = 0; sequence < 20; sequence++) {
      for (let key = 0; key < 4; key++) {
        bodies.push(`${key}:${sequence}`);
        await producer.send(message(topic, bodies.at(-1), { messageGroup: `group-${key}` }));
      }
    }
    await inbox.exactly(bodies);
    const next = new Map();
    for (const item of inbox.items) {
      const [key, sequence] = item.text.split(':');
      equal(String(next.get(key) ?? 0), sequence, `next of group ${key}`);
      equal(`group-${key}`, item.message.messageGroup, 'message group');
      next.set(key, Number(sequence) + 1);
    }
  },

  async function push_concurrent(scope) {
    await pushes(scope, await scope.topic('NORMAL'), await scope.group(), 100, scope.open());
  },

  async function tag_filter(scope) {
    await filtered(scope, new FilterExpression('a||b'), tag => ({ tag }));
  },

  async function sql_filter(scope) {
    const filter = new FilterExpression("price > 10 AND region IN ('a', 'b')", FilterType.SQL);
    await filtered(scope, filter, region => ({ properties: new Map([['price', '11'], ['region', region]]) }));
  },

  async function unknown_topic_is_an_error(scope) {
    const topic = scope.freshTopic();
    const producer = await scope.producer(await scope.topic('NORMAL', 1, '-known'));
    await refused('a send', /40402/, () => producer.send(message(topic, 'lost')));
    await refused('a producer', /40402/, () => scope.producer(topic));
    await refused('a simple consumer', /40402/, () => scope.simple(scope.freshGroup(), topic));
  },

  async function wrong_message_type_is_refused(scope) {
    const topic = await scope.topic('NORMAL', 1);
    const producer = await scope.producer(topic);
    await refused('a FIFO message to a normal topic', /type/i,
      () => producer.send(message(topic, 'm', { messageGroup: 'g' })));
    await refused('a delayed message to a normal topic', /type/i,
      () => producer.send(message(topic, 'm', { delay: 60_000 })));
    await producer.send(message(topic, 'm'));
  },

  async function forged_handle_is_refused(scope) {
    const topic = await scope.topic('NORMAL');
    const consumer = await scope.simple(await scope.group(), topic);
    await (await scope.producer(topic)).send(message(topic, 'mine'));
    const [view] = await receive(consumer, 1, LONG_MS);
    for (const receiptHandle of ['forged', 'x'.repeat(5_000), view.receiptHandle + '0'.repeat(50)]) {
      const forged = Object.assign(Object.create(Object.getPrototypeOf(view)), view, { receiptHandle });
      await refused(`an acknowledgement with ${receiptHandle.slice(0, 10)}`, /40013/, () => consumer.ack(forged));
      await refused('a change', /40013/, () => consumer.changeInvisibleDuration(forged, 20_000));
    }
    await consumer.ack(view);
    await nothingMore(consumer, 'after the acknowledgement');
  },

  // This client can miss settings that arrive before the routes of all its topics.
  async function producer_of_many_topics_starts(scope) {
    const topics = [];
    for (let i = 0; i < 6; i++) topics.push(await scope.topic('NORMAL', 1, `-${i}`));
    let producer;
    scope.producer(topics).then(started => { producer = started; }, error => console.error(error));
    await eventually('the start', 30_000, () => producer);
    for (const topic of topics) await producer.send(message(topic, 'm'));
  },

  async function auth_right(scope) {
    const { topic, group } = await secret(scope);
    await pushes(scope, topic, group, 10, scope.secured());
  },

  async function auth_right_over_tls(scope) {
    const { topic, group } = await secret(scope);
    await pushes(scope, topic, group, 10, scope.secured(undefined, undefined, { sslEnabled: true }));
  },

  async function auth_wrong(scope) {
    const { topic, group } = await secret(scope);
    const { access, secret: word } = scope.settings;
    const doors = [
      scope.secured(access, 'not-the-secret'), scope.secured('nobody', word),
      scope.open({ endpoints: scope.settings.secured }),
    ];
    for (const door of doors) {
      await refused('a producer', /40100/, () => scope.producer(topic, door));
      await refused('a consumer', /40100/, () => scope.simple(group, topic, '*', door));
    }
  },

  async function tls_round_trip(scope) {
    await pushes(scope, await scope.topic('NORMAL'), await scope.group(), 10, scope.open({ sslEnabled: true }));
  },
].map(body => ({ name: body.name, body }));

/** Sends so many messages and has a push consumer receive them. */
async function pushes(scope, topic, group, count, options) {
  const inbox = new Inbox();
  await scope.push(group, topic, inbox.accept, options);
  const producer = await scope.producer(topic, options);
  const bodies = Array.from({ length: count }, (_, i) => `p-${i}`);
  for (const body of bodies) await producer.send(message(topic, body));
  await inbox.exactly(bodies);
}

/** Sends messages marked a, b, c and A, and checks that only a and b pass the filter. */
async function filtered(scope, filter, mark) {
  const topic = await scope.topic('NORMAL');
  const consumer = await scope.simple(await scope.group(), topic, filter);
  const producer = await scope.producer(topic);
  const wanted = [];
  for (const key of ['a', 'b', 'c', 'A']) {
    for (let i = 0; i < 4; i++) {
      await producer.send(message(topic, key + i, mark(key)));
      if (key === 'a' || key === 'b') wanted.push(key + i);
    }
  }
  equal(wanted, (await take(consumer, wanted.length)).map(text).sort(), 'what passed the filter');
  await nothingMore(consumer, 'beyond the filter');
}

/** A producer with a checker, and a consumer. */
async function undecided(scope, check = async () => TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED) {
  const topic = await scope.topic('TRANSACTION');
  const consumer = await scope.simple(await scope.group(), topic);
  return { topic, consumer, producer: await scope.producer(topic, scope.open(), { check }) };
}

/** A topic and a group on the server that wants signatures. */
async function secret(scope) {
  const topic = scope.freshTopic();
  const group = scope.freshGroup();
  await scope.control(`secured-topic ${topic} NORMAL 4`);
  await scope.control(`secured-group ${group} concurrent 16`);
  return { topic, group };
}

module.exports = { cases };
