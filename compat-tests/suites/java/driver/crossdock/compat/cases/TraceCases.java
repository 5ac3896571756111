package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.trace.TraceBean;
import org.apache.rocketmq.client.trace.TraceContext;
import org.apache.rocketmq.client.trace.TraceDataEncoder;
import org.apache.rocketmq.client.trace.TraceType;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** What clients record of the way of a message, found as the stock trace query finds it. */
public final class TraceCases {
    private static final String TRACE_TOPIC = "RMQ_SYS_TRACE_TOPIC";
    private static final long HOUR_MS = 3_600_000;

    private TraceCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("trace_by_message_id_and_key", TraceCases::traced));
    }

    private static void traced(Scope scope) throws Exception {
        String topic = scope.topic(2);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(scope.group(), null,
                new AllocateMessageQueueAveragely(), true, null);
        scope.configure(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox.concurrent());
        scope.start(consumer);
        String group = "P_" + scope.group();
        DefaultMQProducer producer = new DefaultMQProducer(group, null, true, null);
        scope.configure(producer);
        producer.setSendMsgTimeout(10_000);
        scope.start(producer);
        Message message = Scope.message(topic, "tag", "traced");
        message.setKeys("key-" + topic);
        SendResult sent = Scope.stored(producer.send(message));
        inbox.awaitText("traced", Scope.LIMIT_MS);
        Set<TraceType> all = Set.of(TraceType.Pub, TraceType.SubBefore, TraceType.SubAfter);
        for (String key : List.of(sent.getMsgId(), "key-" + topic)) {
            Check.await("records of " + key, Scope.LIMIT_MS,
                    () -> contexts(scope, key, sent).stream().map(TraceContext::getTraceType)
                            .collect(Collectors.toSet()).equals(all));
        }
        for (TraceContext context : contexts(scope, sent.getMsgId(), sent)) {
            TraceBean bean = context.getTraceBeans().get(0);
            if (context.getTraceType() == TraceType.Pub) {
                Check.equal(group, context.getGroupName(), "producer group");
                Check.equal(topic, bean.getTopic(), "topic");
                Check.equal("tag", bean.getTags(), "tag");
                Check.equal(sent.getOffsetMsgId(), bean.getOffsetMsgId(), "offset id");
                Check.equal(6, bean.getBodyLength(), "body length");
                Check.that(context.isSuccess(), "the send is not recorded as a success");
            } else if (context.getTraceType() == TraceType.SubBefore) {
                Check.equal(scope.group(), context.getGroupName(), "consumer group");
            }
        }
    }

    /** Every record about the message among those found under a key. */
    private static List<TraceContext> contexts(Scope scope, String key, SendResult sent) throws Exception {
        long now = System.currentTimeMillis();
        List<MessageExt> found = scope.admin().queryMessage(TRACE_TOPIC, key, 64, now - HOUR_MS, now + HOUR_MS)
                .getMessageList();
        List<TraceContext> contexts = new ArrayList<>();
        for (MessageExt message : found) {
            for (TraceContext context : TraceDataEncoder.decoderFromTraceDataString(Inbox.text(message))) {
                if (context.getTraceBeans().get(0).getMsgId().equals(sent.getMsgId())) {
                    contexts.add(context);
                }
            }
        }
        return contexts;
    }
}
