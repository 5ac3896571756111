package crossdock.compat.grpc.cases;

import crossdock.compat.Check;
import crossdock.compat.grpc.Case;
import crossdock.compat.grpc.Inbox;
import crossdock.compat.grpc.Scope;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

/** What is sent comes back as it was. */
public final class SendCases {
    private SendCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("normal_round_trip", SendCases::roundTrip));
        cases.add(Case.shared("send_async", SendCases::async));
        cases.add(Case.shared("large_and_binary_bodies", SendCases::bodies));
        cases.add(Case.shared("fifo_keeps_order_per_group", SendCases::fifo));
        cases.add(Case.shared("namespaces_are_separate", SendCases::namespaces));
        cases.add(Case.shared("undeclared_topic_is_looked_up_on_send", SendCases::undeclared));
    }

    private static void roundTrip(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        Producer producer = scope.producer(topic);
        Map<String, String> ids = new HashMap<>();
        long before = System.currentTimeMillis();
        for (String body : Scope.texts("n-", 10)) {
            ids.put(body, producer.send(Scope.message(topic, body).setTag("tag-é").setKeys("key-" + body, "second")
                    .addProperty("colour", "grün").addProperty("other", "x=y;z").build()).getMessageId().toString());
        }
        Check.equal(10, new HashSet<>(ids.values()).size(), "distinct message ids");
        for (MessageView message : Scope.take(consumer, 10)) {
            String body = Inbox.text(message);
            Check.equal(ids.remove(body), message.getMessageId().toString(), "message id of " + body);
            Check.equal(topic, message.getTopic(), "topic");
            Check.equal("tag-é", message.getTag().orElse(null), "tag");
            Check.equal(Set.of("key-" + body, "second"), new HashSet<>(message.getKeys()), "keys");
            Check.equal("grün", message.getProperties().get("colour"), "property");
            Check.equal("x=y;z", message.getProperties().get("other"), "property");
            Check.equal(1, message.getDeliveryAttempt(), "attempt");
            Check.equal(false, message.getMessageGroup().isPresent(), "message group");
            Check.equal(false, message.getDeliveryTimestamp().isPresent(), "delivery time");
            Check.that(!message.getBornHost().isEmpty(), "no born host");
            Check.between(before, System.currentTimeMillis(), message.getBornTimestamp(), "born at");
        }
        Check.equal(Map.of(), ids, "not delivered");
        Scope.nothingMore(consumer, "after the acknowledgements");
    }

    private static void async(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.listener());
        Producer producer = scope.producer(topic);
        List<String> bodies = Scope.texts("a-", 200);
        List<CompletableFuture<SendReceipt>> sent = new ArrayList<>();
        for (String body : bodies) {
            sent.add(producer.sendAsync(Scope.plain(topic, body)));
        }
        for (CompletableFuture<SendReceipt> receipt : sent) {
            receipt.get(Scope.LIMIT_MS, TimeUnit.MILLISECONDS);
        }
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
    }

    private static void bodies(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        SimpleConsumer consumer = scope.simple(scope.group(), topic);
        Producer producer = scope.producer(topic);
        byte[] every = new byte[256];
        for (int i = 0; i < every.length; i++) {
            every[i] = (byte) i;
        }
        byte[] large = new byte[3 * 1024 * 1024];
        new Random(7).nextBytes(large);
        byte[] repeating = new byte[1024 * 1024];
        for (byte[] body : List.of(new byte[] {0}, every, repeating, large)) {
            producer.send(Scope.message(topic, body).build());
            byte[] received = Inbox.bytes(Scope.take(consumer, 1).get(0));
            Check.that(Arrays.equals(body, received), "a body of %d bytes came back as another one of %d", body.length,
                    received.length);
        }
    }

    private static void fifo(Scope scope) throws Exception {
        String topic = scope.topic("FIFO");
        Inbox inbox = new Inbox();
        scope.push(scope.group("", "orderly", Scope.RETRIES), topic, inbox.listener());
        Producer producer = scope.producer(topic);
        List<String> bodies = new ArrayList<>();
        for (int sequence = 0; sequence < 25; sequence++) {
            for (int group = 0; group < 4; group++) {
                String body = group + ":" + sequence;
                producer.send(Scope.message(topic, body).setMessageGroup("group-" + group).build());
                bodies.add(body);
            }
        }
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        Map<String, Integer> next = new HashMap<>();
        for (Inbox.Item item : inbox.items()) {
            String[] parts = item.text().split(":");
            Check.equal("group-" + parts[0], item.message().getMessageGroup().orElse(null), "message group");
            Check.equal(next.getOrDefault(parts[0], 0), Integer.valueOf(parts[1]), "next of group " + parts[0]);
            next.merge(parts[0], 1, (old, one) -> Integer.parseInt(parts[1]) + 1);
            next.putIfAbsent(parts[0], 1);
        }
    }

    private static void namespaces(Scope scope) throws Exception {
        String topic = scope.freshTopic("");
        String group = scope.freshGroup("");
        for (String namespace : List.of("left", "right")) {
            // The name that remoting clients see.
            scope.driver.control("topic " + namespace + "%" + topic + " NORMAL 4");
            scope.driver.control("group " + namespace + "%" + group + " concurrent 16");
        }
        for (String namespace : List.of("left", "right")) {
            var configuration = scope.configuration().setNamespace(namespace).build();
            SimpleConsumer consumer = scope.simple(configuration, group, topic, FilterExpression.SUB_ALL);
            scope.producer(configuration, null, topic).send(Scope.plain(topic, namespace));
            MessageView message = Scope.take(consumer, 1).get(0);
            Check.equal(namespace, Inbox.text(message), "body");
            Check.equal(topic, message.getTopic(), "topic");
            Scope.nothingMore(consumer, "of the other namespace");
        }
    }

    private static void undeclared(Scope scope) throws Exception {
        String declared = scope.topic("-declared", "NORMAL", 1);
        String topic = scope.topic("NORMAL");
        Producer producer = scope.producer(declared);
        producer.send(Scope.plain(topic, "hello"));
        MessageView message = Scope.take(scope.simple(scope.group(), topic), 1).get(0);
        Check.equal("hello", Inbox.text(message), "body");
    }
}
