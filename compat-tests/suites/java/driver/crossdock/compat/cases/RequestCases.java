package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import crossdock.compat.Version;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;

/** Requests between clients, and their replies. */
public final class RequestCases {
    private static final int SYSTEM_ERROR = 1;

    private RequestCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("request_is_replied", RequestCases::replied));
        cases.add(Case.shared("request_async_is_replied", RequestCases::repliedAsync));
        cases.add(Case.shared("request_without_a_replier_times_out", RequestCases::timesOut));
        cases.add(Case.shared("reply_to_a_client_that_is_gone_fails", RequestCases::gone));
    }

    /** Starts a consumer that answers each request with its body in brackets. */
    private static void replier(Scope scope, String topic) throws Exception {
        DefaultMQProducer replies = scope.producer();
        DefaultMQPushConsumer consumer = scope.newConsumer(scope.group());
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                try {
                    byte[] body = ("[" + Inbox.text(message) + "]").getBytes(StandardCharsets.UTF_8);
                    Message reply = MessageUtil.createReplyMessage(message, body);
                    reply.putUserProperty("from", "replier");
                    Scope.stored(replies.send(reply, Scope.LIMIT_MS));
                } catch (Exception error) {
                    System.err.println("a reply failed: " + error);
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        scope.start(consumer);
        Scope.awaitAssigned(consumer, topic, 2, Scope.LIMIT_MS);
    }

    private static String text(Message message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    private static void replied(Scope scope) throws Exception {
        String topic = scope.topic(2);
        replier(scope, topic);
        DefaultMQProducer producer = scope.producer();
        for (String body : Scope.texts("q-", 20)) {
            Message reply = Version.request(producer, Scope.message(topic, body), Scope.LIMIT_MS);
            Check.equal("[" + body + "]", text(reply), "reply");
            Check.equal("replier", reply.getUserProperty("from"), "property of the reply");
            Check.that(reply.getProperty(MessageConst.PROPERTY_PUSH_REPLY_TIME) != null, "no push time");
        }
        // Larger than what a client compresses.
        String large = "x".repeat(300_000);
        Check.equal(300_002, text(Version.request(producer, Scope.message(topic, large), Scope.LIMIT_MS)).length(),
                "length");
    }

    private static void repliedAsync(Scope scope) throws Exception {
        String topic = scope.topic(2);
        replier(scope, topic);
        DefaultMQProducer producer = scope.producer();
        Map<String, String> replies = new ConcurrentHashMap<>();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        List<String> bodies = Scope.texts("q-", 50);
        for (String body : bodies) {
            producer.request(Scope.message(topic, body), new RequestCallback() {
                @Override
                public void onSuccess(Message message) {
                    // Newer clients also say that the request was stored.
                    if (message != null) {
                        replies.put(body, text(message));
                    }
                }

                @Override
                public void onException(Throwable error) {
                    failure.set(error);
                }
            }, Scope.LIMIT_MS);
        }
        Check.await("all replies", Scope.LIMIT_MS, () -> replies.size() == bodies.size() || failure.get() != null);
        Check.equal(null, failure.get(), "failure");
        bodies.forEach(body -> Check.equal("[" + body + "]", replies.get(body), "reply"));
    }

    private static void timesOut(Scope scope) throws Exception {
        String topic = scope.topic(2);
        DefaultMQProducer producer = scope.producer();
        Scope.stored(producer.send(Scope.message(topic, "warm-up")));
        long before = System.currentTimeMillis();
        Exception error = Check.fails("a request without a replier",
                () -> Version.request(producer, Scope.message(topic, "anybody?"), 2_000));
        Check.that(error instanceof RequestTimeoutException, "failed otherwise: %s", error);
        Check.between(1_500, 2_000 + Scope.LIMIT_MS, System.currentTimeMillis() - before, "time");
    }

    private static void gone(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer asker = scope.newProducer();
        asker.start();
        try {
            Check.fails("a request without a reply", () -> asker.request(Scope.message(topic, "q"), 2_000));
        } finally {
            asker.shutdown();
        }
        MessageExt request = inbox.awaitText("q", Scope.LIMIT_MS).message();
        Message reply = MessageUtil.createReplyMessage(request, "late".getBytes(StandardCharsets.UTF_8));
        DefaultMQProducer replies = scope.newProducer();
        replies.setRetryTimesWhenSendFailed(0);
        scope.start(replies);
        Exception error = Check.fails("a reply to a client that is gone", () -> replies.send(reply));
        Check.that(error instanceof MQClientException, "failed otherwise: %s", error);
        Check.equal(SYSTEM_ERROR, ((MQClientException) error).getResponseCode(), "code");
    }
}
