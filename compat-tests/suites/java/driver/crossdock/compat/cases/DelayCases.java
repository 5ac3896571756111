package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages sent with a delay level. */
public final class DelayCases {
    private static final long LATE_MS = 4_000;

    private DelayCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("delay_level_1_is_one_second", scope -> delay(scope, 1, 1_000)));
        cases.add(Case.shared("delay_level_2_is_five_seconds", scope -> delay(scope, 2, 5_000)));
    }

    private static void delay(Scope scope, int level, long delayMs) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "late", inbox);
        DefaultMQProducer producer = scope.producer();
        Scope.stored(producer.send(Scope.message(topic, "late", "warm-up")));
        inbox.awaitText("warm-up", Scope.LIMIT_MS);
        Map<String, Long> sentAt = new HashMap<>();
        Map<String, String> ids = new HashMap<>();
        for (String body : Scope.texts("d-", 5)) {
            Message message = Scope.message(topic, "late", body);
            message.setDelayTimeLevel(level);
            message.setKeys("key-" + body);
            sentAt.put(body, System.currentTimeMillis());
            ids.put(body, Scope.stored(producer.send(message)).getMsgId());
        }
        for (String body : sentAt.keySet()) {
            Inbox.Item item = inbox.awaitText(body, delayMs + LATE_MS + Scope.LIMIT_MS);
            MessageExt message = item.message();
            Check.between(delayMs, delayMs + LATE_MS, item.atMs() - sentAt.get(body), "delay of " + body);
            Check.equal(topic, message.getTopic(), "topic");
            Check.equal(ids.get(body), message.getMsgId(), "message id");
            Check.equal("key-" + body, message.getKeys(), "key");
            Check.equal("late", message.getTags(), "tag");
            Check.equal(0, message.getReconsumeTimes(), "reconsume times");
        }
        Check.equal(6, inbox.items().size(), "deliveries");
    }
}
