package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.util.List;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.RPCHook;

/** Signed requests against a server that demands them, and TLS. */
public final class SecurityCases {
    private static final int NO_PERMISSION = 16;

    private SecurityCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("acl_right_secret", SecurityCases::right));
        cases.add(Case.shared("acl_wrong_secret", scope -> refused(scope, secured(scope, scope.settings.get("acl.access"),
                "not-" + scope.settings.get("acl.secret")))));
        cases.add(Case.shared("acl_unknown_access_key", scope -> refused(scope, secured(scope, "nobody",
                scope.settings.get("acl.secret")))));
        cases.add(Case.shared("acl_unsigned", scope -> refused(scope, unsigned(scope))));
        cases.add(Case.shared("tls", SecurityCases::tls));
    }

    private static Scope secured(Scope scope, String access, String secret) {
        RPCHook hook = new AclClientRPCHook(new SessionCredentials(access, secret));
        return scope.with(scope.settings.get("acl.nameserver"), scope.settings.get("acl.broker"), hook);
    }

    private static Scope secured(Scope scope) {
        return secured(scope, scope.settings.get("acl.access"), scope.settings.get("acl.secret"));
    }

    private static Scope unsigned(Scope scope) {
        return scope.with(scope.settings.get("acl.nameserver"), scope.settings.get("acl.broker"), null);
    }

    private static void right(Scope scope) throws Exception {
        Scope signed = secured(scope);
        String topic = signed.topic(2);
        Inbox inbox = new Inbox();
        signed.consumer(signed.group(), topic, "*", inbox);
        DefaultMQProducer producer = signed.producer();
        List<String> bodies = Scope.texts("signed-", 10);
        Scope.sendAll(producer, topic, bodies);
        // The signature covers properties, bodies and batches, whatever bytes they hold.
        Message odd = Scope.message(topic, "größe \u0001 🚀");
        odd.putUserProperty("name", "größe 🚀");
        Scope.stored(producer.send(odd));
        Scope.stored(producer.send(List.of(Scope.message(topic, "batch-0"), Scope.message(topic, "batch-1"))));
        inbox.awaitAll(bodies, Scope.LIMIT_MS);
        inbox.awaitAll(List.of("größe \u0001 🚀", "batch-0", "batch-1"), Scope.LIMIT_MS);
    }

    private static void refused(Scope scope, Scope stranger) throws Exception {
        Scope signed = secured(scope);
        String topic = signed.topic(1);
        DefaultMQProducer producer = signed.producer();
        Scope.sendAll(producer, topic, List.of("mine"));

        Exception denied = Check.fails("an admin request of a stranger", () -> {
            stranger.admin().createAndUpdateTopicConfig(stranger.broker, new TopicConfig(topic, 4, 4, 6));
            return "done";
        });
        Check.equal(NO_PERMISSION, AdminCases.code(denied), "code");
        DefaultMQProducer other = stranger.newProducer();
        other.setSendMsgTimeout(3_000);
        stranger.start(other);
        Check.fails("a send of a stranger", () -> other.send(Scope.message(topic, "theirs")));
        Inbox inbox = new Inbox();
        stranger.consumer(stranger.group("stranger"), topic, "*", inbox);

        MessageQueue queue = producer.fetchPublishMessageQueues(topic).get(0);
        Scope.sendAll(producer, topic, List.of("also mine"));
        Check.equal(2L, producer.maxOffset(queue), "messages stored");
        Inbox own = new Inbox();
        signed.consumer(signed.group("own"), topic, "*", own);
        own.awaitExactly(List.of("mine", "also mine"), Scope.LIMIT_MS);
        Check.equal(List.of(), inbox.texts(), "messages read by the stranger");
    }

    private static void tls(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.setUseTLS(true);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.concurrent());
        scope.start(consumer);
        DefaultMQProducer producer = scope.newProducer();
        producer.setUseTLS(true);
        scope.start(producer);
        List<String> bodies = Scope.texts("secret-", 20);
        Scope.sendAll(producer, topic, bodies);
        byte[] large = "0123456789abcdef".repeat(4_000).getBytes();
        producer.setCompressMsgBodyOverHowmuch(1 << 20);
        Scope.stored(producer.send(new Message(topic, large)));
        inbox.awaitAll(bodies, Scope.LIMIT_MS);
        inbox.awaitText(new String(large), Scope.LIMIT_MS);
        // The same port still talks plain.
        Scope.sendAll(scope.producer(), topic, List.of("plain"));
        inbox.awaitText("plain", Scope.LIMIT_MS);
    }
}
