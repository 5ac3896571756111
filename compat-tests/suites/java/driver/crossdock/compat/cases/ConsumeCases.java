package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import crossdock.compat.Version;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;

/** Push consumers: delivery, filters, broadcasting and positions. */
public final class ConsumeCases {
    /** A missed wake-up shows after 5 to 15 s; a loaded machine needs less than this. */
    private static final long WAKE_MS = 3_000;

    private ConsumeCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("push_concurrent", ConsumeCases::concurrent));
        cases.add(Case.shared("push_wakes_at_once", ConsumeCases::wakes));
        cases.add(Case.shared("push_broadcast", ConsumeCases::broadcast));
        cases.add(Case.shared("push_tag_filter", ConsumeCases::tagFilter));
        cases.add(Case.shared("push_tag_hash_collision", ConsumeCases::hashCollision));
        cases.add(Case.shared("push_two_topics_two_groups", ConsumeCases::topicsAndGroups));
        cases.add(Case.shared("push_new_group_reads_young_topic_from_start", ConsumeCases::youngTopic));
        cases.add(Case.shared("push_offsets_resume_after_client_restart", ConsumeCases::resume));
    }

    private static void concurrent(Scope scope) throws Exception {
        String topic = scope.topic(4);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("m-", 200);
        Scope.sendAll(producer, topic, bodies.subList(0, 100));
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        Scope.sendAll(producer, topic, bodies.subList(100, 200));
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
    }

    private static void wakes(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "wanted", inbox);
        DefaultMQProducer producer = scope.producer();
        Scope.stored(producer.send(Scope.message(topic, "wanted", "first")));
        inbox.awaitText("first", Scope.LIMIT_MS);
        for (int i = 0; i < 10; i++) {
            // A held pull must sleep through what its filter refuses and wake for what it wants.
            Scope.stored(producer.send(Scope.message(topic, "unwanted", "no-" + i)));
            Scope.stored(producer.send(Scope.message(topic, "wanted", "yes-" + i)));
            inbox.awaitText("yes-" + i, WAKE_MS);
        }
        Check.equal(11, inbox.items().size(), "deliveries");
    }

    private static void broadcast(Scope scope) throws Exception {
        String topic = scope.topic(4);
        String group = scope.group();
        List<Inbox> inboxes = List.of(new Inbox(), new Inbox());
        for (Inbox inbox : inboxes) {
            DefaultMQPushConsumer consumer = scope.newConsumer(group);
            Version.broadcast(consumer);
            consumer.subscribe(topic, "*");
            consumer.registerMessageListener(inbox.concurrent());
            scope.start(consumer);
        }
        List<String> bodies = Scope.texts("all-", 40);
        Scope.sendAll(scope.producer(), topic, bodies);
        for (Inbox inbox : inboxes) {
            inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        }
    }

    private static void tagFilter(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox two = new Inbox();
        Inbox one = new Inbox();
        Inbox all = new Inbox();
        scope.consumer(scope.group("two"), topic, "a || b", two);
        scope.consumer(scope.group("one"), topic, "c", one);
        scope.consumer(scope.group("all"), topic, "*", all);
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            String tag = List.of("a", "b", "c", "d").get(i % 4);
            bodies.add(tag + i);
            Scope.stored(producer.send(Scope.message(topic, tag, tag + i)));
        }
        Scope.stored(producer.send(Scope.message(topic, "untagged")));
        two.awaitAll(bodies.stream().filter(body -> body.matches("[ab].*")).toList(), Scope.LIMIT_MS);
        one.awaitAll(bodies.stream().filter(body -> body.startsWith("c")).toList(), Scope.LIMIT_MS);
        bodies.add("untagged");
        all.awaitExactly(bodies, Scope.LIMIT_MS);
        Check.equal(20, two.items().size(), "deliveries for a || b");
        Check.equal(10, one.items().size(), "deliveries for c");
    }

    /** "Aa" and "BB" have the same hash, so the server cannot tell them apart, but the client must. */
    private static void hashCollision(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "Aa", inbox);
        DefaultMQProducer producer = scope.producer();
        for (String body : List.of("BB 0", "Aa 1", "BB 2", "Aa 3")) {
            Scope.stored(producer.send(Scope.message(topic, body.substring(0, 2), body)));
        }
        inbox.awaitExactly(List.of("Aa 1", "Aa 3"), Scope.LIMIT_MS);
    }

    private static void topicsAndGroups(Scope scope) throws Exception {
        String first = scope.topic("first", 2);
        String second = scope.topic("second", 2);
        List<Inbox> inboxes = List.of(new Inbox(), new Inbox());
        for (int i = 0; i < 2; i++) {
            DefaultMQPushConsumer consumer = scope.newConsumer(scope.group("" + i));
            consumer.subscribe(first, "*");
            consumer.subscribe(second, "*");
            consumer.registerMessageListener(inboxes.get(i).concurrent());
            scope.start(consumer);
        }
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("m-", 20);
        Scope.sendAll(producer, first, bodies.subList(0, 10));
        Scope.sendAll(producer, second, bodies.subList(10, 20));
        for (Inbox inbox : inboxes) {
            inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        }
    }

    private static void youngTopic(Scope scope) throws Exception {
        String topic = scope.topic(2);
        List<String> bodies = Scope.texts("old-", 6);
        Scope.sendAll(scope.producer(), topic, bodies);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.concurrent());
        scope.start(consumer);
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
    }

    private static void resume(Scope scope) throws Exception {
        String topic = scope.topic(2);
        String group = scope.group();
        DefaultMQProducer producer = scope.producer();
        List<String> bodies = Scope.texts("m-", 40);
        Inbox before = new Inbox();
        DefaultMQPushConsumer consumer = scope.consumer(group, topic, "*", before);
        Scope.sendAll(producer, topic, bodies.subList(0, 20));
        before.awaitExactly(bodies.subList(0, 20), Scope.LIMIT_MS);
        scope.awaitCommitted(consumer, topic, 20);
        consumer.shutdown();
        Scope.sendAll(producer, topic, bodies.subList(20, 40));
        Inbox after = new Inbox();
        scope.consumer(group, topic, "*", after);
        after.awaitExactly(bodies.subList(20, 40), Scope.LIMIT_MS);
    }
}
