package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Mqadmin;
import crossdock.compat.Scope;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;

/** Subcommands about groups, their members and their positions. */
public final class MqadminGroupCases {
    /** A client that is told of a new position drops its queue, waits 10 s and begins again. */
    private static final long RESET_LIMIT_MS = 60_000;

    private MqadminGroupCases() {}

    public static void addTo(List<Case> cases) {
        // The longest first.
        cases.add(Case.shared("resetOffsetByTime_online", MqadminGroupCases::resetOnline));
        cases.add(Case.shared("resetOffsetByTime_offline", MqadminGroupCases::resetOffline));
        cases.add(Case.shared("resetOffsetByTime_to_an_offset", MqadminGroupCases::resetToOffset));
        cases.add(Case.shared("skipAccumulatedMessage", MqadminGroupCases::skip));
        cases.add(Case.shared("cloneGroupOffset", MqadminGroupCases::cloneOffset));
        cases.add(Case.shared("updateSubGroup", MqadminGroupCases::updateSubGroup));
        cases.add(Case.shared("updateSubGroupList", MqadminGroupCases::updateSubGroupList));
        cases.add(Case.shared("getConsumerConfig", MqadminGroupCases::getConsumerConfig));
        cases.add(Case.shared("deleteSubGroup", MqadminGroupCases::deleteSubGroup));
        cases.add(Case.shared("consumerProgress", MqadminGroupCases::consumerProgress));
        cases.add(Case.shared("consumerStatus", MqadminGroupCases::consumerStatus));
        cases.add(Case.shared("consumerConnection", MqadminGroupCases::consumerConnection));
        cases.add(Case.shared("getConsumerStatus", MqadminGroupCases::getConsumerStatus));
        cases.add(Case.shared("producerConnection", MqadminGroupCases::producerConnection));
        cases.add(Case.shared("producer", MqadminGroupCases::producer));
        cases.add(Case.shared("brokerConsumeStats", MqadminGroupCases::brokerConsumeStats));
        cases.add(Case.shared("statsAll", MqadminGroupCases::statsAll));
    }

    /** A topic of one queue with messages and a group that has consumed them all and is gone. */
    private static String consumed(Scope scope, String... bodies) throws Exception {
        String topic = scope.topic(1);
        MqadminCases.fill(scope, topic, bodies);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.concurrent());
        consumer.start();
        try {
            inbox.awaitExactly(List.of(bodies), Scope.LIMIT_MS);
            scope.awaitCommitted(consumer, topic, bodies.length);
        } finally {
            consumer.shutdown();
        }
        return topic;
    }

    private static void updateSubGroup(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("updateSubGroup", "-b", scope.broker, "-g", scope.group(), "-r", "5", "-s", "true")
                .shows("create subscription group to " + scope.broker + " success.", "retryMaxTimes=5");
        mqadmin.run("updateSubGroup", "-c", MqadminCases.cluster(scope), "-g", scope.group(), "-r", "7", "-s", "false")
                .shows("create subscription group to " + scope.broker + " success.");
        var config = scope.admin().examineSubscriptionGroupConfig(scope.broker, scope.group());
        Check.equal(7, config.getRetryMaxTimes(), "retries");
        Check.equal(false, config.isConsumeEnable(), "enabled");
        if (!MqadminCases.isApache(scope)) {
            // Apache takes any name.
            mqadmin.run("updateSubGroup", "-b", scope.broker, "-g", "not legal").hides("success");
        }
    }

    private static void updateSubGroupList(Scope scope) throws Exception {
        Path file = Files.createTempFile("groups", ".json");
        Files.writeString(file, "[{\"groupName\":\"%s\",\"retryMaxTimes\":3},{\"groupName\":\"%s\",\"retryMaxTimes\":4}]"
                .formatted(scope.group("one"), scope.group("two")));
        new Mqadmin(scope).run("updateSubGroupList", "-b", scope.broker, "-f", file.toString())
                .shows("submit batch of group config to " + scope.broker + " success");
        var config = scope.admin().examineSubscriptionGroupConfig(scope.broker, scope.group("two"));
        Check.equal(4, config.getRetryMaxTimes(), "retries of the second");
    }

    private static void getConsumerConfig(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("updateSubGroup", "-b", scope.broker, "-g", scope.group(), "-r", "9");
        mqadmin.run("getConsumerConfig", "-g", scope.group()).shows(
                MqadminCases.cluster(scope) + ":" + MqadminCases.brokerName(scope), "groupName", "=  " + scope.group(),
                "retryMaxTimes", "=  9");
    }

    private static void deleteSubGroup(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("updateSubGroup", "-b", scope.broker, "-g", scope.group());
        mqadmin.run("deleteSubGroup", "-b", scope.broker, "-g", scope.group(), "-r", "true")
                .shows("delete subscription group [" + scope.group() + "] from broker [" + scope.broker + "] success.");
        Check.that(!scope.admin().getAllSubscriptionGroup(scope.broker, 10_000).getSubscriptionGroupTable()
                .containsKey(scope.group()), "deleted group is still defined");
        mqadmin.run("updateSubGroup", "-b", scope.broker, "-g", scope.group("two"));
        mqadmin.run("deleteSubGroup", "-c", MqadminCases.cluster(scope), "-g", scope.group("two"))
                .shows("delete subscription group [" + scope.group("two") + "] from broker [" + scope.broker + "] in cluster ["
                        + MqadminCases.cluster(scope) + "] success.");
    }

    private static void consumerProgress(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = consumed(scope, "a", "b");
        MqadminCases.fill(scope, topic, "c");
        String[] row = mqadmin.run("consumerProgress", "-g", scope.group()).row(topic);
        Check.equal("3", row[3], "end of the queue");
        Check.equal("2", row[4], "position");
        Check.equal("1", row[5], "difference");
        mqadmin.run("consumerProgress", "-g", scope.group(), "-t", topic).shows("Diff Total: 1");
        row = mqadmin.run("consumerProgress").row(scope.group());
        Check.equal("0", row[1], "members");
        Check.equal("OFFLINE", row[2], "version");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(List.of("c"), Scope.LIMIT_MS);
        scope.awaitCommitted(consumer, topic, 3);
        mqadmin.run("consumerProgress", "-g", scope.group()).shows("Consume TPS: ", "Consume Diff Total: 0");
        row = mqadmin.run("consumerProgress").row(scope.group());
        Check.equal("1", row[1], "members");
        Check.equal("PUSH", row[3], "type");
        Check.equal("CLUSTERING", row[4], "model");
        // Which client has which queue.
        mqadmin.run("consumerProgress", "-g", scope.group(), "-s", "true").shows("#Client IP", topic,
                consumer.getClientIP());
    }

    private static void consumerStatus(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(1);
        MqadminCases.fill(scope, topic, "a");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(List.of("a"), Scope.LIMIT_MS);
        String client = consumer.buildMQClientId();
        mqadmin.run("consumerStatus", "-g", scope.group(), "-i", client).shows("#Consumer Properties#",
                "PROP_CONSUME_TYPE", "CONSUME_PASSIVELY", "#Consumer Subscription#", topic, "#Consumer Offset#", topic,
                MqadminCases.brokerName(scope), "#Consumer RT&TPS#", topic);
        mqadmin.run("consumerStatus", "-g", scope.group(), "-s", "-i", client).shows("#Consumer jstack#", "java.lang.Thread");
        // All members: the command writes what each says to a file.
        mqadmin.run("consumerStatus", "-g", scope.group()).shows("#Index", client, "1");
        mqadmin.run("consumerStatus", "-g", scope.group(), "-i", "nobody").fails("not online");
        mqadmin.run("consumerStatus", "-g", scope.group("offline")).fails("SubCommandException");
    }

    private static void consumerConnection(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(1);
        DefaultMQPushConsumer consumer = scope.consumer(scope.group(), topic, "a || b", new Inbox());
        String client = consumer.buildMQClientId();
        Check.await("the member", Scope.LIMIT_MS,
                () -> mqadmin.run("consumerConnection", "-g", scope.group()).has(client));
        mqadmin.run("consumerConnection", "-g", scope.group(), "-b", scope.broker).shows("#ClientId", client, "JAVA",
                "Below is subscription:", topic, "a || b", "ConsumeType: CONSUME_PASSIVELY", "MessageModel: CLUSTERING",
                "ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET");
        mqadmin.run("consumerConnection", "-g", scope.group("offline")).fails("SubCommandException", "CODE: ");
    }

    private static void getConsumerStatus(Scope scope) throws Exception {
        String topic = scope.topic(1);
        MqadminCases.fill(scope, topic, "a", "b");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(List.of("a", "b"), Scope.LIMIT_MS);
        // No subcommand of this line, but what its library offers.
        Check.await("the position of the client", Scope.LIMIT_MS, () -> {
            var all = scope.admin().getConsumeStatus(topic, scope.group(), "");
            return List.copyOf(all.get(consumer.buildMQClientId()).values()).equals(List.of(2L));
        });
    }

    private static void producerConnection(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.producer();
        Scope.sendAll(producer, topic, List.of("a"));
        Check.await("the producer", Scope.LIMIT_MS, () -> mqadmin
                .run("producerConnection", "-g", producer.getProducerGroup(), "-t", topic)
                .has(producer.buildMQClientId()));
        mqadmin.run("producerConnection", "-g", scope.group("none"), "-t", topic).fails("not exist");
    }

    private static void producer(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        DefaultMQProducer producer = scope.producer();
        Scope.sendAll(producer, scope.topic(1), List.of("a"));
        Check.await("the producer", Scope.LIMIT_MS, () -> mqadmin.run("producer", "-b", scope.broker).out().lines()
                .anyMatch(line -> line.contains("producer group (" + producer.getProducerGroup() + ")")
                        && line.contains(producer.buildMQClientId()) && line.contains("language=JAVA")));
    }

    private static void brokerConsumeStats(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = consumed(scope, "a", "b");
        MqadminCases.fill(scope, topic, "c", "d", "e");
        String[] row = mqadmin.run("brokerConsumeStats", "-b", scope.broker).row(topic);
        Check.equal(scope.group(), row[1], "group");
        Check.equal("5", row[4], "end of the queue");
        Check.equal("2", row[5], "position");
        Check.equal("3", row[6], "difference");
        mqadmin.run("brokerConsumeStats", "-b", scope.broker, "-l", "1000000").hides(topic);
        mqadmin.run("brokerConsumeStats", "-b", scope.broker, "-o", "true").hides(topic);
    }

    private static void statsAll(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = consumed(scope, "a", "b");
        MqadminCases.fill(scope, topic, "c");
        // An Apache broker counts every ten seconds.
        Check.await("the counts of the day", Scope.LIMIT_MS, () -> {
            String[] row = mqadmin.run("statsAll", "-t", topic).out().lines().filter(line -> line.contains(scope.group()))
                    .findFirst().orElseThrow().trim().split("\\s+");
            return row[0].equals(topic) && row[2].equals("1") && Double.parseDouble(row[3]) > 0
                    && row[5].equals("3") && row[6].equals("2");
        });
        mqadmin.run("statsAll", "-a").shows("#Topic");
    }

    private static void resetOnline(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(2);
        MqadminCases.fill(scope, topic, "a", "b", "c");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(List.of("a", "b", "c"), Scope.LIMIT_MS);
        scope.awaitCommitted(consumer, topic, 3);
        Scope.awaitAssigned(consumer, topic, 2, Scope.LIMIT_MS);
        mqadmin.run("resetOffsetByTime", "-g", scope.group(), "-t", topic, "-s", "0").shows(
                "start reset consumer offset by specified, group[" + scope.group() + "], topic[" + topic + "], force[true]",
                "#brokerName", MqadminCases.brokerName(scope), "0");
        Check.await("all messages again", RESET_LIMIT_MS,
                () -> inbox.texts().stream().filter(text -> text.equals("a")).count() >= 2
                        && inbox.texts().stream().filter(text -> text.equals("c")).count() >= 2);
        // It goes on from there and remembers where it is.
        MqadminCases.fill(scope, topic, "d");
        inbox.awaitText("d", RESET_LIMIT_MS);
        scope.awaitCommitted(consumer, topic, 4);
    }

    private static void resetOffline(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = consumed(scope, "a", "b");
        Thread.sleep(5);
        long between = System.currentTimeMillis();
        Thread.sleep(5);
        MqadminCases.fill(scope, topic, "c");
        mqadmin.run("resetOffsetByTime", "-g", scope.group(), "-t", topic, "-s", "now")
                .shows("#brokerName", MqadminCases.brokerName(scope));
        Check.equal(3L, position(scope, topic), "position at the end");
        mqadmin.run("resetOffsetByTime", "-g", scope.group(), "-t", topic, "-s", Long.toString(between))
                .shows("#brokerName", MqadminCases.brokerName(scope));
        Check.equal(2L, position(scope, topic), "position at the time");
        mqadmin.run("resetOffsetByTime", "-g", scope.group(), "-t", topic, "-s", "0");
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitAll(List.of("a", "b", "c"), RESET_LIMIT_MS);
    }

    private static void resetToOffset(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = consumed(scope, "a", "b", "c", "d");
        mqadmin.run("resetOffsetByTime", "-g", scope.group(), "-t", topic, "-s", "0", "-b", scope.broker, "-q", "0", "-o", "2")
                .shows("reset consumer offset to 2");
        Check.equal(2L, position(scope, topic), "position");
        mqadmin.run("resetOffsetByTime", "-g", scope.group(), "-t", topic, "-s", "0", "-b", scope.broker, "-q", "0", "-o", "77")
                .fails("Exception");
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitAll(List.of("d"), RESET_LIMIT_MS);
    }

    private static void skip(Scope scope) throws Exception {
        String topic = consumed(scope, "a");
        MqadminCases.fill(scope, topic, "b", "c", "d");
        new Mqadmin(scope).run("skipAccumulatedMessage", "-g", scope.group(), "-t", topic).shows("#brokerName",
                MqadminCases.brokerName(scope), "4");
        Check.equal(4L, position(scope, topic), "position");
    }

    private static void cloneOffset(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = consumed(scope, "a", "b");
        MqadminCases.fill(scope, topic, "c");
        mqadmin.run("updateSubGroup", "-b", scope.broker, "-g", scope.group("clone"));
        mqadmin.run("cloneGroupOffset", "-s", scope.group(), "-d", scope.group("clone"), "-t", topic)
                .shows("clone group offset success. srcGroup[" + scope.group() + "], destGroup=[" + scope.group("clone")
                        + "], topic[" + topic + "]");
        Inbox inbox = new Inbox();
        scope.consumer(scope.group("clone"), topic, "*", inbox);
        inbox.awaitExactly(List.of("c"), Scope.LIMIT_MS);
    }

    /** The position of the case's group in the first queue. */
    private static long position(Scope scope, String topic) throws Exception {
        return scope.admin().examineConsumeStats(scope.group(), topic).getOffsetTable().entrySet().stream()
                .filter(entry -> entry.getKey().getTopic().equals(topic) && entry.getKey().getQueueId() == 0)
                .findFirst().orElseThrow().getValue().getConsumerOffset();
    }
}
