package crossdock.compat.grpc;

import crossdock.compat.Check;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.message.MessageView;

/** Keeps all that was delivered, in order of delivery, and waits for more. */
public final class Inbox {
    /** One delivery. */
    public record Item(MessageView message, String text, int attempt, long atMs) {}

    public interface Decision {
        ConsumeResult decide(Item item) throws Exception;
    }

    private final List<Item> items = new ArrayList<>();

    public static byte[] bytes(MessageView message) {
        ByteBuffer body = message.getBody().duplicate();
        byte[] bytes = new byte[body.remaining()];
        body.get(bytes);
        return bytes;
    }

    public static String text(MessageView message) {
        return new String(bytes(message), StandardCharsets.UTF_8);
    }

    public synchronized Item add(MessageView message) {
        Item item = new Item(message, text(message), message.getDeliveryAttempt(), System.currentTimeMillis());
        items.add(item);
        notifyAll();
        return item;
    }

    public synchronized List<Item> items() {
        return new ArrayList<>(items);
    }

    public List<String> texts() {
        return items().stream().map(Item::text).toList();
    }

    /** The first delivery that is wanted; fails when it does not come in time. */
    public synchronized Item await(String what, long limitMs, Predicate<Item> wanted) throws InterruptedException {
        long deadline = System.nanoTime() + limitMs * 1_000_000;
        while (true) {
            for (Item item : items) {
                if (wanted.test(item)) {
                    return item;
                }
            }
            long leftMs = (deadline - System.nanoTime()) / 1_000_000;
            if (leftMs <= 0) {
                throw new Check.Failed(what + " did not happen within " + limitMs + " ms, only " + texts(), null);
            }
            wait(leftMs);
        }
    }

    public Item awaitText(String text, long limitMs) throws InterruptedException {
        return await("delivery of " + text, limitMs, item -> item.text().equals(text));
    }

    /** Waits for all bodies and then checks that each came once and nothing else came. */
    public void awaitExactly(Collection<String> texts, long limitMs) throws InterruptedException {
        for (String text : texts) {
            awaitText(text, limitMs);
        }
        Set<String> seen = new HashSet<>();
        for (String text : texts()) {
            Check.that(seen.add(text), "%s was delivered twice", text);
            Check.that(texts.contains(text), "%s was not expected", text);
        }
    }

    /** Accepts everything. */
    public MessageListener listener() {
        return deciding(item -> ConsumeResult.SUCCESS);
    }

    /** Keeps each delivery and lets the case decide about it. */
    public MessageListener deciding(Decision decision) {
        return message -> {
            try {
                return decision.decide(add(message));
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        };
    }
}
