package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Driver;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import crossdock.compat.Version;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;

/** Other ways to say the same on the wire. */
public final class WireCases {
    /** Cases that a second process repeats with binary headers: together they use every hot request. */
    private static final String BINARY = "send_sync,send_batch,send_oneway,push_tag_filter,orderly_keeps_order,"
            + "lite_pull_subscribe,query_by_key,view_by_offset_id,delay_level_1,admin_topic,admin_cluster";

    private WireCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("binary_headers", WireCases::binary));
        cases.add(Case.shared("fast_port", WireCases::fastPort));
        cases.add(Case.shared("light_heartbeats", WireCases::lightHeartbeats));
    }

    private static void binary(Scope scope) throws Exception {
        List<String> command = new ArrayList<>(List.of(
                System.getProperty("java.home") + File.separator + "bin" + File.separator + "java",
                "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Drocketmq.serialize.type=ROCKETMQ",
                "-Duser.home=" + System.getProperty("user.home"), "-cp", System.getProperty("java.class.path"),
                Driver.class.getName(), "nameserver=" + scope.nameserver, "broker=" + scope.broker,
                "target=" + scope.settings.get("target", ""), "only=" + BINARY));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        scope.onClose(process::destroyForcibly);
        List<String> failed = new ArrayList<>();
        int passed = 0;
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.startsWith("FAIL ")) {
                    failed.add(line.substring(5));
                }
                passed += line.startsWith("PASS ") ? 1 : 0;
            }
        }
        Check.equal(0, process.waitFor(), "exit code");
        Check.equal(List.of(), failed, "failed with binary headers");
        Check.equal(BINARY.split(",").length, passed, "passed with binary headers");
    }

    private static void fastPort(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.setVipChannelEnabled(true);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.concurrent());
        scope.start(consumer);
        DefaultMQProducer producer = scope.newProducer();
        producer.setVipChannelEnabled(true);
        scope.start(producer);
        List<String> bodies = Scope.texts("fast-", 20);
        Scope.sendAll(producer, topic, bodies);
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
        scope.awaitCommitted(consumer, topic, 20);
    }

    private static void lightHeartbeats(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        if (!Version.lightHeartbeats(consumer)) {
            throw new Check.Skipped("this client has none");
        }
        // Beats only when told to: this client loses one that meets another, and with it a changed subscription.
        consumer.setHeartbeatBrokerInterval(3_600_000);
        consumer.subscribe(topic, "a");
        consumer.registerMessageListener(inbox.concurrent());
        scope.start(consumer);
        Scope.awaitAssigned(consumer, topic, 2, Scope.LIMIT_MS);
        DefaultMQProducer producer = scope.producer();
        Scope.stored(producer.send(Scope.message(topic, "a", "first")));
        Check.await("the first message", Scope.LIMIT_MS, () -> {
            Version.beat(consumer, true);
            return inbox.texts().contains("first");
        });
        for (int i = 0; i < 5; i++) {
            Scope.stored(producer.send(Scope.message(topic, "b", "no-" + i)));
            Scope.stored(producer.send(Scope.message(topic, "a", "yes-" + i)));
            inbox.awaitText("yes-" + i, Scope.LIMIT_MS);
            Version.beat(consumer, false);
        }
        consumer.subscribe(topic, "b");
        Check.await("the changed subscription", Scope.LIMIT_MS, () -> {
            Version.beat(consumer, false);
            Scope.stored(producer.send(Scope.message(topic, "b", "changed")));
            return inbox.texts().contains("changed");
        });
        Check.that(inbox.texts().stream().noneMatch(text -> text.startsWith("no-")), "filter was lost");
    }
}
