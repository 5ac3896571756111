package crossdock.compat.grpc.cases;

import crossdock.compat.Check;
import crossdock.compat.grpc.Case;
import crossdock.compat.grpc.Inbox;
import crossdock.compat.grpc.Scope;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages from one generation of clients to the other. */
public final class CrossCases {
    private static final long LATE_MS = 8_000;

    private CrossCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("grpc_to_remoting", CrossCases::grpcToRemoting));
        cases.add(Case.shared("remoting_to_grpc", CrossCases::remotingToGrpc));
        cases.add(Case.shared("grpc_delay_to_remoting", CrossCases::grpcDelay));
        cases.add(Case.shared("remoting_timer_to_grpc", CrossCases::remotingTimer));
        cases.add(Case.shared("grpc_transaction_to_remoting", CrossCases::grpcTransaction));
        cases.add(Case.shared("both_generations_in_one_group", CrossCases::oneGroup));
    }

    private record Arrival(MessageExt message, String text, long atMs) {}

    private static void configure(Scope scope, ClientConfig client) {
        client.setNamesrvAddr(scope.settings.get("nameserver"));
        client.setInstanceName("driver_" + scope.instance());
        // Not the 30 s of the defaults: the tests would wait for them.
        client.setPollNameServerInterval(1_000);
        client.setHeartbeatBrokerInterval(1_000);
        client.setMqClientApiTimeout(15_000);
    }

    private static List<Arrival> consumer(Scope scope, String group, String topic) throws Exception {
        List<Arrival> arrivals = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        configure(scope, consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                String text = new String(message.getBody(), StandardCharsets.UTF_8);
                arrivals.add(new Arrival(message, text, System.currentTimeMillis()));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        scope.closing(consumer::shutdown);
        consumer.start();
        return arrivals;
    }

    private static DefaultMQProducer remotingProducer(Scope scope) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(scope.freshGroup("-producer"));
        configure(scope, producer);
        producer.setSendMsgTimeout(10_000);
        producer.start();
        scope.closing(producer::shutdown);
        return producer;
    }

    private static Message remoting(String topic, String tag, String keys, String body) {
        return new Message(topic, tag, keys, body.getBytes(StandardCharsets.UTF_8));
    }

    private static void grpcToRemoting(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        List<Arrival> arrivals = consumer(scope, scope.group(), topic);
        Producer producer = scope.producer(topic);
        Map<String, String> ids = new HashMap<>();
        for (String body : Scope.texts("g-", 10)) {
            ids.put(body, producer.send(Scope.message(topic, body).setTag("tag").setKeys("one", "two")
                    .addProperty("colour", "grün").build()).getMessageId().toString());
        }
        Check.await("all messages", Scope.LIMIT_MS, () -> arrivals.size() >= ids.size());
        for (Arrival arrival : arrivals) {
            Check.equal(ids.remove(arrival.text()), arrival.message().getMsgId(), "message id of " + arrival.text());
            Check.equal("tag", arrival.message().getTags(), "tag");
            Check.equal("one two", arrival.message().getKeys(), "keys");
            Check.equal("grün", arrival.message().getUserProperty("colour"), "property");
            Check.equal(0, arrival.message().getReconsumeTimes(), "reconsume times");
        }
        Check.equal(Map.of(), ids, "not delivered");
    }

    private static void remotingToGrpc(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        var consumer = scope.simple(scope.group(), topic);
        DefaultMQProducer producer = remotingProducer(scope);
        Map<String, String> ids = new HashMap<>();
        for (String body : Scope.texts("r-", 9)) {
            Message message = remoting(topic, "tag", "one two", body);
            message.putUserProperty("colour", "grün");
            SendResult result = producer.send(message);
            Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "send status");
            ids.put(body, result.getMsgId());
        }
        // Above the size from which this client compresses.
        String large = "all work and no play; ".repeat(3_000);
        ids.put(large, producer.send(remoting(topic, "tag", "one two", large)).getMsgId());
        for (MessageView message : Scope.take(consumer, ids.size())) {
            String body = Inbox.text(message);
            Check.equal(ids.remove(body), message.getMessageId().toString(), "message id");
            Check.equal("tag", message.getTag().orElse(null), "tag");
            Check.equal(List.of("one", "two"), List.copyOf(message.getKeys()), "keys");
            if (!body.equals(large)) {
                Check.equal("grün", message.getProperties().get("colour"), "property");
            }
        }
        Check.equal(Map.of(), ids, "not delivered");
    }

    private static void grpcDelay(Scope scope) throws Exception {
        String topic = scope.topic("DELAY");
        List<Arrival> arrivals = consumer(scope, scope.group(), topic);
        long at = System.currentTimeMillis() + 5_000;
        scope.producer(topic).send(Scope.message(topic, "later").setDeliveryTimestamp(at).build());
        Check.await("the message", Scope.LIMIT_MS, () -> !arrivals.isEmpty());
        Check.between(0, LATE_MS, arrivals.get(0).atMs() - at, "lateness");
        Check.equal("later", arrivals.get(0).text(), "body");
        Check.equal(topic, arrivals.get(0).message().getTopic(), "topic");
    }

    private static void remotingTimer(Scope scope) throws Exception {
        String topic = scope.topic("DELAY");
        Inbox inbox = new Inbox();
        scope.push(scope.group(), topic, inbox.listener());
        DefaultMQProducer producer = remotingProducer(scope);
        long at = System.currentTimeMillis() + 5_000;
        Message timed = remoting(topic, "tag", "key", "timed");
        timed.setDeliverTimeMs(at);
        producer.send(timed);
        Message levelled = remoting(topic, "tag", "key", "levelled");
        levelled.setDelayTimeLevel(2);
        long sent = System.currentTimeMillis();
        producer.send(levelled);
        inbox.awaitExactly(List.of("timed", "levelled"), Scope.LIMIT_MS);
        Check.between(0, LATE_MS, inbox.awaitText("timed", 1).atMs() - at, "lateness");
        Check.between(5_000, 5_000 + LATE_MS, inbox.awaitText("levelled", 1).atMs() - sent, "delay of level 2");
    }

    private static void grpcTransaction(Scope scope) throws Exception {
        String topic = scope.topic("TRANSACTION");
        List<Arrival> arrivals = consumer(scope, scope.group(), topic);
        Producer producer = scope.producer(scope.configuration().build(), message -> TransactionResolution.UNKNOWN,
                topic);
        Transaction rolledBack = producer.beginTransaction();
        producer.send(Scope.plain(topic, "rolled back"), rolledBack);
        rolledBack.rollback();
        Transaction committed = producer.beginTransaction();
        String id = producer.send(Scope.plain(topic, "committed"), committed).getMessageId().toString();
        committed.commit();
        Check.await("the committed message", Scope.LIMIT_MS, () -> !arrivals.isEmpty());
        Check.equal(List.of("committed"), arrivals.stream().map(Arrival::text).toList(), "deliveries");
        Check.equal(id, arrivals.get(0).message().getMsgId(), "message id");
    }

    private static void oneGroup(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        String group = scope.group();
        Inbox inbox = new Inbox();
        List<Arrival> arrivals = consumer(scope, group, topic);
        scope.push(group, topic, inbox.listener());
        Producer producer = scope.producer(topic);
        List<String> bodies = new ArrayList<>();
        // Until both have had something.
        long deadline = System.currentTimeMillis() + Scope.LIMIT_MS;
        while (inbox.items().isEmpty() || arrivals.isEmpty() || bodies.size() < 200) {
            Check.that(System.currentTimeMillis() < deadline, "of %d messages, %d by gRPC and %d by remoting",
                    bodies.size(), inbox.items().size(), arrivals.size());
            bodies.add("m-" + bodies.size());
            producer.send(Scope.plain(topic, bodies.get(bodies.size() - 1)));
        }
        Check.await("all messages, somewhere", Scope.LIMIT_MS, () -> {
            Set<String> seen = new HashSet<>(inbox.texts());
            arrivals.forEach(arrival -> seen.add(arrival.text()));
            return seen.containsAll(bodies);
        });
        int deliveries = inbox.items().size() + arrivals.size();
        // A few may come twice while the two find each other, but not all of them, all the time.
        Check.between(bodies.size(), bodies.size() * 5L / 4, deliveries, "deliveries");
    }
}
