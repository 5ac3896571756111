package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;

/** A second broker of another make, {@code other}, is registered in the same name server. */
public final class MixedCases {
    private MixedCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("mixed_cluster_lists_both", MixedCases::cluster));
        cases.add(Case.shared("mixed_concurrent", MixedCases::concurrent));
        cases.add(Case.shared("mixed_orderly", MixedCases::orderly));
        cases.add(Case.shared("mixed_retry", MixedCases::retry));
        cases.add(Case.shared("mixed_auto_create", MixedCases::autoCreate));
        cases.add(Case.shared("mixed_topic_of_the_other_only", MixedCases::otherOnly));
        cases.add(Case.alone("mixed_other_leaves_and_returns", MixedCases::leaves));
    }

    private static String other(Scope scope) {
        return scope.settings.get("other");
    }

    /** A topic with two queues on each broker. */
    private static String topic(Scope scope) throws Exception {
        String topic = scope.freshTopic("");
        scope.createTopic(topic, 2, scope.broker, other(scope));
        return topic;
    }

    private static Map<String, Long> perBroker(Inbox inbox) {
        return inbox.items().stream()
                .collect(Collectors.groupingBy(item -> item.message().getBrokerName(), Collectors.counting()));
    }

    private static void cluster(Scope scope) throws Exception {
        var info = scope.admin().examineBrokerClusterInfo();
        Set<String> masters = new TreeSet<>();
        info.getBrokerAddrTable().values().forEach(data -> masters.add(data.getBrokerAddrs().get(0L)));
        Check.equal(new TreeSet<>(Set.of(scope.broker, other(scope))), masters, "masters");
    }

    private static void concurrent(Scope scope) throws Exception {
        String topic = topic(scope);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        List<String> bodies = Scope.texts("m-", 80);
        Scope.sendAll(scope.producer(), topic, bodies);
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        Map<String, Long> shares = perBroker(inbox);
        Check.equal(2, shares.size(), "brokers in " + shares);
        shares.forEach((name, count) -> Check.between(30, 50, count, "messages through " + name));
    }

    private static void orderly(Scope scope) throws Exception {
        String topic = topic(scope);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.orderly());
        scope.start(consumer);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = new ArrayList<>();
        for (int sequence = 0; sequence < 20; sequence++) {
            for (int key = 0; key < 4; key++) {
                bodies.add(key + ":" + sequence);
                Scope.stored(producer.send(Scope.message(topic, key + ":" + sequence),
                        (queues, message, argument) -> queues.get((Integer) argument), key));
            }
        }
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        Map<String, Integer> next = new HashMap<>();
        for (String text : inbox.texts()) {
            String key = text.substring(0, text.indexOf(':'));
            Check.equal(next.merge(key, 1, Integer::sum) - 1, Integer.parseInt(text.substring(key.length() + 1)),
                    "next of key " + key);
        }
        Check.equal(2, perBroker(inbox).size(), "brokers");
    }

    private static void retry(Scope scope) throws Exception {
        String topic = topic(scope);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.deciding((messages, context) -> {
            context.setDelayLevelWhenNextConsume(1);
            return messages.get(0).getReconsumeTimes() == 0 ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                    : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        }));
        scope.start(consumer);
        Scope.awaitRetryQueues(consumer, 2);
        List<String> bodies = Scope.texts("m-", 8);
        Scope.sendAll(scope.producer(), topic, bodies);
        for (String body : bodies) {
            inbox.awaitItem("redelivery of " + body, Scope.LIMIT_MS,
                    item -> item.text().equals(body) && item.message().getReconsumeTimes() == 1);
        }
        Check.equal(16, inbox.items().size(), "deliveries");
    }

    private static void autoCreate(Scope scope) throws Exception {
        String topic = scope.freshTopic("");
        DefaultMQProducer producer = scope.newProducer();
        // A refresh between two sends would find only the broker that has created the topic already.
        producer.setPollNameServerInterval(3_600_000);
        scope.start(producer);
        List<String> bodies = Scope.texts("m-", 40);
        Scope.sendAll(producer, topic, bodies);
        Inbox inbox = new Inbox();
        Check.await("route over both", Scope.LIMIT_MS,
                () -> scope.admin().examineTopicRouteInfo(topic).getQueueDatas().size() == 2);
        scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        Check.equal(2, perBroker(inbox).size(), "brokers");
    }

    private static void otherOnly(Scope scope) throws Exception {
        String topic = scope.freshTopic("");
        scope.createTopic(topic, 2, other(scope));
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        List<String> bodies = Scope.texts("m-", 20);
        Scope.sendAll(scope.producer(), topic, bodies);
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
    }

    private static void leaves(Scope scope) throws Exception {
        String topic = topic(scope);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        Scope.sendAll(producer, topic, List.of("both"));
        scope.driver.control("kill-other");
        // The name server sees the connection close.
        Check.await("route without the other", Scope.LIMIT_MS,
                () -> scope.admin().examineTopicRouteInfo(topic).getQueueDatas().size() == 1);
        DefaultMQProducer fresh = scope.producer();
        List<String> bodies = Scope.texts("alone-", 10);
        Scope.sendAll(fresh, topic, bodies);
        inbox.awaitAll(bodies, Scope.LIMIT_MS);
        scope.driver.control("start-other");
        Check.await("route with the other", Scope.LIMIT_MS,
                () -> scope.admin().examineTopicRouteInfo(topic).getQueueDatas().size() == 2);
        DefaultMQProducer later = scope.producer();
        List<String> more = Scope.texts("again-", 40);
        Scope.sendAll(later, topic, more);
        inbox.awaitAll(more, Scope.LIMIT_MS);
        inbox.awaitAll(List.of("both"), Scope.LIMIT_MS);
        Check.equal(2, perBroker(inbox).size(), "brokers");
    }
}
