package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Every way to send, each checked by what a consumer receives. */
public final class SendCases {
    private static final int MESSAGE_ILLEGAL = 13;

    private SendCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("send_sync", SendCases::sync));
        cases.add(Case.shared("send_async", SendCases::async));
        cases.add(Case.shared("send_oneway", SendCases::oneway));
        cases.add(Case.shared("send_batch", SendCases::batch));
        cases.add(Case.shared("send_compressed", SendCases::compressed));
        cases.add(Case.shared("send_keyed", SendCases::keyed));
        cases.add(Case.shared("send_tagged", SendCases::tagged));
        cases.add(Case.shared("send_selected_queue", SendCases::selectedQueue));
        cases.add(Case.shared("send_to_auto_created_topic", SendCases::autoCreated));
        cases.add(Case.shared("send_properties_unchanged", SendCases::properties));
        cases.add(Case.shared("send_oversized_is_refused", SendCases::oversized));
    }

    private static void sync(Scope scope) throws Exception {
        String topic = scope.topic(4);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        Map<String, SendResult> results = new HashMap<>();
        long before = System.currentTimeMillis();
        for (String body : Scope.texts("sync-", 20)) {
            results.put(body, Scope.stored(producer.send(Scope.message(topic, body))));
        }
        inbox.awaitExactly(results.keySet(), Scope.LIMIT_MS);
        long after = System.currentTimeMillis();
        for (Inbox.Item item : inbox.items()) {
            MessageExt message = item.message();
            SendResult result = results.get(item.text());
            Check.equal(topic, message.getTopic(), "topic");
            Check.equal(result.getMsgId(), message.getMsgId(), "message id");
            Check.equal(result.getOffsetMsgId(), ((MessageClientExt) message).getOffsetMsgId(), "offset id");
            Check.equal(result.getMessageQueue().getQueueId(), message.getQueueId(), "queue");
            Check.equal(result.getQueueOffset(), message.getQueueOffset(), "queue offset");
            Check.equal(0, message.getReconsumeTimes(), "reconsume times");
            Check.equal(scope.broker, text(message.getStoreHost()), "store host");
            Check.that(text(message.getBornHost()).startsWith("127.0.0.1:"), "born host %s", message.getBornHost());
            Check.between(before, after, message.getBornTimestamp(), "born");
            Check.between(before, after, message.getStoreTimestamp(), "stored");
        }
        Set<Integer> queues = new HashSet<>();
        inbox.items().forEach(item -> queues.add(item.message().getQueueId()));
        Check.equal(Set.of(0, 1, 2, 3), queues, "queues used");
    }

    private static String text(java.net.SocketAddress address) {
        InetSocketAddress inet = (InetSocketAddress) address;
        return inet.getAddress().getHostAddress() + ":" + inet.getPort();
    }

    private static void async(Scope scope) throws Exception {
        String topic = scope.topic(4);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("async-", 200);
        Queue<Object> outcomes = new ConcurrentLinkedQueue<>();
        for (String body : bodies) {
            producer.send(Scope.message(topic, body), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    outcomes.add(result.getSendStatus().name());
                }

                @Override
                public void onException(Throwable error) {
                    outcomes.add(error);
                }
            });
        }
        Check.await("200 callbacks", Scope.LIMIT_MS, () -> outcomes.size() == bodies.size());
        Check.equal(Set.of("SEND_OK"), new HashSet<>(outcomes), "outcomes");
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
    }

    private static void oneway(Scope scope) throws Exception {
        String topic = scope.topic(4);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("oneway-", 50);
        for (String body : bodies) {
            producer.sendOneway(Scope.message(topic, body));
        }
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
    }

    private static void batch(Scope scope) throws Exception {
        String topic = scope.topic(4);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        Scope.sendAll(producer, queue, List.of("single"));
        List<Message> messages = new ArrayList<>();
        List<String> bodies = Scope.texts("batch-", 10);
        for (String body : bodies) {
            Message message = Scope.message(topic, "tag", body);
            message.setKeys("key-" + body);
            message.putUserProperty("body", body);
            messages.add(message);
        }
        SendResult result = Scope.stored(producer.send(messages, queue));
        Check.equal(10, result.getMsgId().split(",").length, "message ids");
        List<String> offsetIds = List.of(result.getOffsetMsgId().split(","));
        Check.equal(10, offsetIds.size(), "offset ids");
        Check.equal(1L, result.getQueueOffset(), "offset of the first");
        List<String> all = new ArrayList<>(bodies);
        all.add("single");
        inbox.awaitExactly(all, Scope.LIMIT_MS);
        for (int i = 0; i < bodies.size(); i++) {
            String body = bodies.get(i);
            MessageExt message = inbox.awaitText(body, 0).message();
            Check.equal(1L + i, message.getQueueOffset(), "offset of " + body);
            Check.equal("tag", message.getTags(), "tag of " + body);
            Check.equal("key-" + body, message.getKeys(), "key of " + body);
            Check.equal(body, message.getUserProperty("body"), "property of " + body);
            Check.equal(offsetIds.get(i), ((MessageClientExt) message).getOffsetMsgId(), "offset id of " + body);
        }
        // Without a queue the client picks one; all still land together.
        List<Message> second = bodies.stream().map(body -> Scope.message(topic, "second-" + body)).toList();
        int chosen = Scope.stored(producer.send(second)).getMessageQueue().getQueueId();
        for (String body : bodies) {
            MessageExt message = inbox.awaitText("second-" + body, Scope.LIMIT_MS).message();
            Check.equal(chosen, message.getQueueId(), "queue of second-" + body);
        }
    }

    private static void compressed(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        byte[] regular = "all work and no play; ".repeat(5_000).getBytes(StandardCharsets.UTF_8);
        byte[] noise = new byte[64 * 1024];
        new Random(7).nextBytes(noise);
        byte[] small = new byte[4096];
        for (byte[] body : List.of(regular, noise, small)) {
            Scope.stored(producer.send(new Message(topic, body)));
        }
        Check.await("three bodies", Scope.LIMIT_MS, () -> inbox.items().size() == 3);
        for (Inbox.Item item : inbox.items()) {
            MessageExt message = item.message();
            byte[] sent = List.of(regular, noise, small).get((int) message.getQueueOffset());
            Check.that(Arrays.equals(sent, message.getBody()), "body %d differs", message.getQueueOffset());
        }
        MessageExt first = inbox.awaitItem("first", 0, item -> item.message().getQueueOffset() == 0).message();
        Check.that(first.getStoreSize() < regular.length / 4, "stored in %d bytes", first.getStoreSize());
    }

    private static void keyed(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        Message one = Scope.message(topic, "one");
        one.setKeys("order-17");
        Message two = Scope.message(topic, "two");
        two.setKeys(List.of("order-18", "customer-4"));
        DefaultMQProducer producer = scope.producer();
        Scope.stored(producer.send(one));
        Scope.stored(producer.send(two));
        inbox.awaitExactly(List.of("one", "two"), Scope.LIMIT_MS);
        Check.equal("order-17", inbox.awaitText("one", 0).message().getKeys(), "key");
        Check.equal("order-18 customer-4", inbox.awaitText("two", 0).message().getKeys(), "keys");
    }

    private static void tagged(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        Scope.stored(producer.send(Scope.message(topic, "blue", "with")));
        Scope.stored(producer.send(Scope.message(topic, "without")));
        inbox.awaitExactly(List.of("with", "without"), Scope.LIMIT_MS);
        Check.equal("blue", inbox.awaitText("with", 0).message().getTags(), "tag");
        String none = inbox.awaitText("without", 0).message().getTags();
        Check.that(none == null || none.isEmpty(), "tag %s appeared", none);
    }

    private static void selectedQueue(Scope scope) throws Exception {
        String topic = scope.topic(4);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            String body = (i % 4) + "-" + i;
            bodies.add(body);
            SendResult result = producer.send(Scope.message(topic, body),
                    (queues, message, argument) -> queues.stream()
                            .filter(queue -> queue.getQueueId() == (Integer) argument).findFirst().orElseThrow(),
                    i % 4);
            Check.equal(i % 4, Scope.stored(result).getMessageQueue().getQueueId(), "queue of the answer");
        }
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        for (Inbox.Item item : inbox.items()) {
            Check.equal(item.text().charAt(0) - '0', item.message().getQueueId(), "queue of " + item.text());
        }
    }

    private static void autoCreated(Scope scope) throws Exception {
        String topic = scope.freshTopic("");
        DefaultMQProducer producer = scope.producer();
        producer.setDefaultTopicQueueNums(3);
        List<String> bodies = Scope.texts("auto-", 12);
        Scope.sendAll(producer, topic, bodies);
        Check.await("route with three queues", Scope.LIMIT_MS, () -> {
            var route = scope.admin().examineTopicRouteInfo(topic);
            var queues = route.getQueueDatas().get(0);
            return route.getQueueDatas().size() == 1 && queues.getPerm() == 6
                    && queues.getWriteQueueNums() == 3 && queues.getReadQueueNums() == 3;
        });
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
    }

    private static void properties(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        byte[] body = new byte[256];
        for (int i = 0; i < body.length; i++) {
            body[i] = (byte) i;
        }
        Message message = new Message(topic, body);
        message.setFlag(0x1234_5678);
        message.putUserProperty("size", "größer, 更大, 🚀");
        message.putUserProperty("long", "x".repeat(3_000));
        message.putUserProperty("path", "a/b?c=d&e={f}\"g'");
        Scope.stored(scope.producer().send(message));
        MessageExt received = inbox.awaitItem("the message", Scope.LIMIT_MS, item -> true).message();
        Check.that(Arrays.equals(body, received.getBody()), "body differs");
        Check.equal(0x1234_5678, received.getFlag(), "flag");
        for (String name : List.of("size", "long", "path")) {
            Check.equal(message.getUserProperty(name), received.getUserProperty(name), name);
        }
    }

    private static void oversized(Scope scope) throws Exception {
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.newProducer();
        producer.setMaxMessageSize(16 * 1024 * 1024);
        scope.start(producer);
        byte[] noise = new byte[5 * 1024 * 1024];
        new Random(9).nextBytes(noise);
        Exception error = Check.fails("a body of 5 MiB", () -> producer.send(new Message(topic, noise)));
        Check.that(error instanceof MQBrokerException, "got %s", error);
        Check.equal(MESSAGE_ILLEGAL, ((MQBrokerException) error).getResponseCode(), "code");
        // The connection and the topic go on.
        Check.equal(0L, Scope.stored(producer.send(Scope.message(topic, "small"))).getQueueOffset(), "offset");
    }
}
