package crossdock.compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.message.MessageExt;

/** Keeps all that was delivered, in order of delivery, and waits for more. */
public final class Inbox {
    /** One delivery. */
    public record Item(MessageExt message, String text, long atMs, String thread) {}

    private final List<Item> items = new ArrayList<>();

    public static String text(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    public synchronized void add(Collection<MessageExt> messages) {
        long now = System.currentTimeMillis();
        for (MessageExt message : messages) {
            items.add(new Item(message, text(message), now, Thread.currentThread().getName()));
        }
        notifyAll();
    }

    public synchronized List<Item> items() {
        return new ArrayList<>(items);
    }

    public List<String> texts() {
        return items().stream().map(Item::text).toList();
    }

    public synchronized void clear() {
        items.clear();
    }

    /** The first delivery of a body; fails when it does not come in time. */
    public Item awaitText(String text, long limitMs) throws InterruptedException {
        return awaitItem("delivery of " + text, limitMs, item -> item.text().equals(text));
    }

    public synchronized Item awaitItem(String what, long limitMs, Function<Item, Boolean> wanted)
            throws InterruptedException {
        long deadline = System.nanoTime() + limitMs * 1_000_000;
        while (true) {
            for (Item item : items) {
                if (wanted.apply(item)) {
                    return item;
                }
            }
            long leftMs = (deadline - System.nanoTime()) / 1_000_000;
            if (leftMs <= 0) {
                throw new Check.Failed(what + " did not happen within " + limitMs + " ms", null);
            }
            wait(leftMs);
        }
    }

    /** Waits until every body was delivered at least once. */
    public void awaitAll(Collection<String> texts, long limitMs) throws InterruptedException {
        long deadline = System.nanoTime() + limitMs * 1_000_000;
        while (true) {
            Set<String> missing = new HashSet<>(texts);
            synchronized (this) {
                items.forEach(item -> missing.remove(item.text()));
                if (missing.isEmpty()) {
                    return;
                }
                long leftMs = (deadline - System.nanoTime()) / 1_000_000;
                if (leftMs > 0) {
                    wait(leftMs);
                    continue;
                }
            }
            List<String> some = missing.stream().sorted().limit(8).toList();
            throw new Check.Failed(
                    missing.size() + " of " + texts.size() + " not delivered within " + limitMs + " ms, as " + some, null);
        }
    }

    /** Waits for all bodies and then checks that each came once and nothing else came. */
    public void awaitExactly(Collection<String> texts, long limitMs) throws InterruptedException {
        awaitAll(texts, limitMs);
        Set<String> seen = new HashSet<>();
        for (String text : texts()) {
            Check.that(seen.add(text), "%s was delivered twice", text);
            Check.that(texts.contains(text), "%s was not expected", text);
        }
    }

    public MessageListenerConcurrently concurrent() {
        return (messages, context) -> {
            add(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        };
    }

    public MessageListenerOrderly orderly() {
        return (messages, context) -> {
            add(messages);
            return ConsumeOrderlyStatus.SUCCESS;
        };
    }

    /** A listener that hands each call to the case first. */
    public MessageListenerConcurrently deciding(Decision decision) {
        return (messages, context) -> {
            add(messages);
            return decision.decide(messages, context);
        };
    }

    public interface Decision {
        ConsumeConcurrentlyStatus decide(List<MessageExt> messages, ConsumeConcurrentlyContext context);
    }
}
