package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import crossdock.compat.Version;
import java.util.List;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages with a delivery time of their own, and taking them back. */
public final class TimerCases {
    private static final int ILLEGAL_OPERATION = 604;
    /** Half a second late is much for an idle server; a loaded machine may need it. */
    private static final long LATE_MS = 2_000;

    private TimerCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("timer_to_the_millisecond", TimerCases::exact));
        cases.add(Case.shared("timer_of_a_year", TimerCases::far));
        cases.add(Case.shared("timer_recalled", TimerCases::recalled));
        cases.add(Case.shared("timer_recalled_too_late", TimerCases::tooLate));
    }

    private static Message timer(String topic, String body, String property, long value) {
        Message message = Scope.message(topic, body);
        MessageAccessor.putProperty(message, property, Long.toString(value));
        return message;
    }

    /** Apache's timers are due on whole seconds, three days ahead at most. */
    private static void oursOnly(Scope scope) {
        if (scope.settings.get("target", "").equals("apache")) {
            throw new Check.Skipped("this server's timers are coarser");
        }
    }

    private static void exact(Scope scope) throws Exception {
        oursOnly(scope);
        String topic = scope.topic(1);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        Scope.stored(producer.send(Scope.message(topic, "warm-up")));
        inbox.awaitText("warm-up", Scope.LIMIT_MS);
        long due = System.currentTimeMillis() + 1_234;
        // Sent in the wrong order, a millisecond apart.
        for (int i = 4; i >= 0; i--) {
            Scope.stored(producer.send(timer(topic, "at-" + i, "TIMER_DELIVER_MS", due + i)));
        }
        for (int i = 0; i < 5; i++) {
            Inbox.Item item = inbox.awaitText("at-" + i, Scope.LIMIT_MS);
            MessageExt message = item.message();
            Check.between(due + i, due + i + LATE_MS, message.getStoreTimestamp(), "store time of at-" + i);
            Check.equal(Long.toString(due + i), message.getProperty("TIMER_OUT_MS"), "due time");
            Check.equal((long) i + 1, message.getQueueOffset(), "offset of at-" + i);
        }
        long sent = System.currentTimeMillis();
        Scope.stored(producer.send(timer(topic, "seconds", "TIMER_DELAY_SEC", 1)));
        Scope.stored(producer.send(timer(topic, "milliseconds", "TIMER_DELAY_MS", 321)));
        Check.between(sent + 321, sent + 321 + LATE_MS,
                inbox.awaitText("milliseconds", Scope.LIMIT_MS).message().getStoreTimestamp(), "store time");
        Check.between(sent + 1_000, sent + 1_000 + LATE_MS,
                inbox.awaitText("seconds", Scope.LIMIT_MS).message().getStoreTimestamp(), "store time");
    }

    private static void far(Scope scope) throws Exception {
        oursOnly(scope);
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.producer();
        long due = System.currentTimeMillis() + 365L * 86_400_000;
        SendResult result = Scope.stored(producer.send(timer(topic, "next year", "TIMER_DELIVER_MS", due)));
        MessageExt waiting = producer.viewMessage(topic, result.getOffsetMsgId());
        Check.equal("next year", Inbox.text(waiting), "body");
        Check.equal(0L, producer.maxOffset(producer.fetchPublishMessageQueues(topic).get(0)), "max offset");
    }

    private static void recalled(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        SendResult gone = Scope.stored(producer.send(timer(topic, "gone", "TIMER_DELAY_MS", 5_000)));
        Scope.stored(producer.send(timer(topic, "kept", "TIMER_DELAY_MS", 7_000)));
        Check.equal(gone.getMsgId(), Version.recall(producer, topic, gone), "id of the recalled message");
        inbox.awaitText("kept", Scope.LIMIT_MS);
        Check.equal(List.of("kept"), inbox.texts(), "deliveries");
        refused(producer, topic, gone);
    }

    private static void tooLate(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        DefaultMQProducer producer = scope.producer();
        SendResult sent = Scope.stored(producer.send(timer(topic, "soon", "TIMER_DELAY_MS", 1_500)));
        inbox.awaitText("soon", Scope.LIMIT_MS);
        refused(producer, topic, sent);
    }

    private static void refused(DefaultMQProducer producer, String topic, SendResult sent) {
        Exception error = Check.fails("a recall", () -> Version.recall(producer, topic, sent));
        if (error instanceof Check.Skipped skipped) {
            throw skipped;
        }
        Check.that(error instanceof MQBrokerException, "failed otherwise: %s", error);
        Check.equal(ILLEGAL_OPERATION, ((MQBrokerException) error).getResponseCode(), "code");
    }
}
